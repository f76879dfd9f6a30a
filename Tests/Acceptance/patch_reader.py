"""A second reader of patches, written from docs/PATCH-FORMAT.md alone: checks everything, applies the patch to a Hugging
Face folder and prints the fingerprint of what comes out: patch_reader.py PATCH BASE_FOLDER ALLOWED_SIGNERS"""
import base64, hashlib, itertools, json, math, os, re, struct, subprocess, sys, tempfile
import numpy as np, zstandard

WORDS, DECODER, BIAS = "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight", "cls.predictions.bias"
DTYPES = {"F32": ("<f4", "<u4", 0x7F800000), "F16": ("<f2", "<u2", 0x7C00), "BF16": ("<u2", "<u2", 0x7F80)}  # and the exponent's bits
ESCAPES = {"\\b": "\\u0008", "\\f": "\\u000c", "\x7f": "\\u007f", "\u2028": "\\u2028", "\u2029": "\\u2029"}  # of ours, for what json.dumps writes
sha = lambda content: hashlib.sha256(content).hexdigest()
number = lambda digits: int(digits) if -1 << 63 <= int(digits) < 1 << 63 else float(digits)
class Refused(Exception): pass
def need(condition, what):
    if not condition: raise Refused(what)
def strict(content, what):
    members = lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else need(False, f"{what}: a key twice")
    try:
        value = json.loads(content.decode(), object_pairs_hook=members)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()  # neither an infinity nor half of a surrogate pair
    except (ValueError, RecursionError) as error: raise Refused(f"{what}: {error}")
    brackets = [c in "[{" or -1 for c in re.sub(r'"(\\.|[^"\\])*"', "", content.decode()) if c in "[{}]"]
    need(max(itertools.accumulate(brackets), default=0) <= 64, f"{what}: too deep")
    return value

def signer(manifest, blob, allowed):
    """The principal that signed; ssh-keygen judges."""
    need(blob[:29] == b"SSHSIG" + struct.pack(">III", 1, 51, 11) + b"ssh-ed25519", "signature: none, or not SSHSIG by ssh-ed25519")
    with tempfile.NamedTemporaryFile(buffering=0) as file:
        file.write(b"-----BEGIN SSH SIGNATURE-----\n" + base64.encodebytes(blob) + b"-----END SSH SIGNATURE-----\n")
        keygen = lambda *words: subprocess.run(["ssh-keygen", "-Y", *words, "-s", file.name, "-f", allowed], input=manifest, capture_output=True)
        for name in keygen("find-principals").stdout.decode().splitlines():
            if keygen("verify", "-n", "tiankong-patch", "-I", name).returncode == 0: return name
    raise Refused("signature: not by a key of allowed_signers, for these bytes, now")

digest = lambda v: isinstance(v, str) and re.fullmatch("[0-9a-f]{64}", v)
text = lambda least, most: lambda v: isinstance(v, str) and least <= len(v.encode()) <= most
whole = lambda most: lambda v: type(v) is int and 1 <= v <= most
sizes = lambda v: isinstance(v, list) and 1 <= len(v) <= 2 and all(map(whole(1 << 28), v)) and math.prod(v) <= 1 << 31
ORDER = {"kind": lambda v: v == "rollback", "line": digest, "to": digest, "epoch": whole(2**31 - 1), "reason": text(0, 1000)}
PATCH = {"kind": lambda v: v == "patch", "base": digest, "target": digest, "line": digest, "epoch": whole(2**31 - 1), "created": text(0, 40),
         "release": lambda v: text(1, 100)(v) and not re.search("[\0-\x1f\x7f]", v), "calibration": lambda v: v is None or isinstance(v, str),
         "dossier": lambda v: v is None or isinstance(v, dict), "frames": lambda v: isinstance(v, list) and len(v) <= 4096}
FRAME = {"tensor": text(0, 200), "shape": sizes, "dtype": lambda v: v in [*DTYPES], "op": text(0, 40), "encoding": text(0, 40),
         "compressed": whole(1 << 34), "exact": whole(1 << 34), "sha256": digest, "result": digest}

def checked(value, keys, where):
    need(isinstance(value, dict) and value.keys() == keys.keys(), f"{where}: not the keys {[*keys]}")
    for key, good in keys.items(): need(good(value[key]), f"{where}.{key}: {value[key]!r:.100}")

def opened(raw, allowed):  # -> manifest, [(frame, its bytes)]
    need(len(raw) >= 36, "incomplete")
    magic, length, name, form, m, s, w = struct.unpack("<II8sIIIQ", raw[:36])
    need(magic == 0x184D2A50 and name == b"TIANKONG" and form == 1, "not a patch of format 1")
    need(1 <= m <= 8 << 20 and s <= 4096 and length == 28 + m + s and 36 + m + s <= w == len(raw), f"lengths of the header, or of the file: {len(raw)}")
    at, frames = 36 + m + s, []
    signer(raw[36:36 + m], raw[36 + m:at], allowed)
    manifest = strict(raw[36:36 + m], "manifest")
    checked(manifest, ORDER if isinstance(manifest, dict) and manifest.get("kind") == "rollback" else PATCH, "manifest")
    for i, frame in enumerate(manifest.get("frames", [])):
        checked(frame, FRAME, f"frames[{i}]")
        frames.append((frame, raw[at:at + frame["compressed"]]))
        at += frame["compressed"]
    need(at == w and len({f["tensor"] for f, _ in frames}) == len(frames), "frames: a tensor twice, or another length than the file's")
    need(manifest["kind"] == "rollback" or manifest["base"] != manifest["target"], "target: the base")
    return manifest, frames

def unpacked(frame, packed):
    need(sha(packed) == frame["sha256"] and packed[:4] == b"\x28\xb5\x2f\xfd", f"{frame['tensor']}: frame's digest")
    try:
        need(zstandard.frame_content_size(packed) in (-1, frame["exact"]), f"{frame['tensor']}: another length")
        out = zstandard.ZstdDecompressor().decompress(packed, frame["exact"], allow_extra_data=False)
    except zstandard.ZstdError as error: raise Refused(f"{frame['tensor']}: {error}")
    return out if len(out) == frame["exact"] else need(False, f"{frame['tensor']}: another length")

def widened(dtype, content):
    array = np.frombuffer(content, DTYPES[dtype][0])
    return (array.astype("<u4") << 16).view("<f4") if dtype == "BF16" else array.astype("<f4")
def narrowed(dtype, array):
    if dtype != "BF16": return array.astype(DTYPES[dtype][0]).tobytes()
    bits = array.view("<u4")
    return ((bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()

def merged(frame, content, base):
    name, shape, dtype, way, (_, word, ones) = *(frame[k] for k in ("tensor", "shape", "dtype")), (frame["op"], frame["encoding"]), DTYPES[frame["dtype"]]
    kind, sizes, source = base.get(name) or (name == DECODER and base[WORDS]) or (None, None, None)
    need(sizes == shape, f"{name}: no such tensor in the base")
    n, row, rows = math.prod(shape), shape[-1] * np.dtype(word).itemsize, math.prod(shape) // shape[-1]
    k = struct.unpack("<I", content[:4])[0] if way == ("rows", "raw") and kind == dtype and len(content) >= 4 else -1
    lengths = {("replace", "raw"): rows * row, ("delta", "exact"): 4 * n, ("delta", "compact"): 4 * rows + n, ("rows", "raw"): 4 + k * (4 + row)}
    need(lengths.get(way) == len(content), f"{name}: {way} of {len(content)} bytes")
    if way[0] == "rows":
        places = np.frombuffer(content, "<u4", k, 4).astype("i8")
        need(np.all(np.diff(places) > 0) and np.all(places < rows), f"{name}: rows do not rise")
        table = np.frombuffer(source, "u1").reshape(rows, row).copy()
        table[places] = np.frombuffer(content, "u1", offset=4 + 4 * k).reshape(k, row)
        content = table.tobytes()
    elif way[1] == "exact":
        z, bits = np.frombuffer(content, "u1").reshape(4, n).T.copy().view("<u4")[:, 0], widened(kind, source).view("<u4")
        place = (bits ^ np.where(bits >> 31, np.uint32(0xFFFFFFFF), np.uint32(1 << 31))) + ((z >> 1) ^ (0 - (z & 1)))
        content = narrowed(dtype, (place ^ np.where(place >> 31, np.uint32(1 << 31), np.uint32(0xFFFFFFFF))).view("<f4"))
    elif way[1] == "compact":
        steps = np.frombuffer(content, "<f4", rows)[:, None] * np.frombuffer(content, "i1", n, 4 * rows).reshape(rows, -1).astype("<f4")
        content = narrowed(dtype, widened(kind, source) + steps.reshape(-1))
    need(sha(content) == frame["result"] and not np.any(np.frombuffer(content, word) & ones == ones), f"{name}: result's digest, or not finite")
    return dtype, shape, content

def folder(path):  # -> lines of a fingerprint up to the vocabulary, the calibration's text, tensors
    file = lambda name: open(f"{path}/{name}", "rb").read() if os.path.exists(f"{path}/{name}") else b"{}"
    config, options, tokenizer, own = (json.loads(file(name + ".json"), parse_int=number) for name in ("config", "tokenizer_config", "tokenizer", "tiankong"))
    pieces = [line.removesuffix(b"\r") for line in file("vocab.txt").removesuffix(b"\n").split(b"\n")] if os.path.exists(f"{path}/vocab.txt") else \
        [piece.encode() for piece in sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)]
    flag = lambda key, other, fallback: options.get(key, (tokenizer.get("normalizer") or {}).get(other, fallback))
    lower, cjk = flag("do_lower_case", "lowercase", True), flag("tokenize_chinese_chars", "handle_chinese_chars", True)
    accents = flag("strip_accents", "strip_accents", None)
    size = [config.get(*pair) for pair in (("num_hidden_layers", 12), ("hidden_size", 768), ("num_attention_heads", 12), ("intermediate_size", 3072),
        ("max_position_embeddings", 512), ("type_vocab_size", 2), ("vocab_size", 30522), ("hidden_act", "gelu"))]
    epsilon, tensors = struct.pack(">d", config.get("layer_norm_eps", 1e-12)).hex(), {}
    for shard in sorted(name for name in os.listdir(path) if re.fullmatch(r"model(-\d+-of-\d+)?\.safetensors", name)):
        raw = file(shard)
        start = 8 + struct.unpack("<Q", raw[:8])[0]
        for name, t in json.loads(raw[8:start]).items():
            name = re.sub("^(?=(embeddings|encoder|pooler)[.])", "bert.", name)
            name = re.sub("(?<=LayerNorm[.])gamma$", "weight", re.sub("(?<=LayerNorm[.])beta$", "bias", name))
            if not re.match(r"__metadata__|bert\.pooler\.|cls\.seq_relationship\.|.*\.position_ids$", name):
                tensors[name] = t["dtype"], t["shape"], raw[start + t["data_offsets"][0]:start + t["data_offsets"][1]]
    tensors[BIAS] = tensors.pop("cls.predictions.decoder.bias", None) or tensors[BIAS]
    head = ["tiankong-version 1", "shape " + " ".join(map(str, size)).replace("gelu_pytorch_tanh", "gelu_new") + " " + epsilon,
        f"tokenizer {lower:d} {lower if accents is None else accents:d} {cjk:d}", "vocabulary " + sha(b"\n".join(pieces))]
    tensors = {name: t for name, t in tensors.items() if name != DECODER or t != tensors[WORDS]}
    own = json.dumps(own.get("calibration"), ensure_ascii=False, separators=(",", ":"))
    return head, None if own == "null" else re.sub(r"\\.|[\x7f\u2028\u2029]", lambda c: ESCAPES.get(c[0], c[0]), own), tensors

def fingerprint(head, calibration, tensors):
    tensors = {name: t for name, t in tensors.items() if name != DECODER or t != tensors[WORDS]}
    lines = head + ["calibration " + ("-" if calibration is None else sha(calibration.encode()))]
    lines += [f"tensor {name} {t[0]} {'x'.join(map(str, t[1]))} {sha(t[2])}" for name, t in sorted(tensors.items())]
    return sha("".join(line + "\n" for line in lines).encode())

def applied(patch, base, allowed):
    """The fingerprint that a patch leads to from a folder, or the version that an order leads back to."""
    manifest, frames = opened(open(patch, "rb").read(), allowed)
    if manifest["kind"] == "rollback": return manifest["to"]
    head, calibration, tensors = folder(base)
    need(fingerprint(head, calibration, tensors) == manifest["base"], f"base: not {manifest['base']}")
    with np.errstate(all="ignore"): made = {frame["tensor"]: merged(frame, unpacked(frame, packed), tensors) for frame, packed in frames}
    need(fingerprint(head, manifest["calibration"], {**tensors, **made}) == manifest["target"], f"target: not {manifest['target']}")
    return manifest["target"]

if __name__ == "__main__":
    try: print(applied(*sys.argv[1:]))
    except Refused as refusal: sys.exit(f"refused: {refusal}")

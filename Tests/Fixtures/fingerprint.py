"""A version's fingerprint from a Hugging Face folder, by the format's description alone: fingerprint.py MODEL_DIR"""
import hashlib, json, os, struct, sys
folder = sys.argv[1]
config, options = (json.load(open(f"{folder}/{name}")) for name in ("config.json", "tokenizer_config.json"))
raw = open(f"{folder}/model.safetensors", "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
header, data = json.loads(raw[8:8 + size]), raw[8 + size:]
sha = lambda b: hashlib.sha256(b).hexdigest()
pieces = open(f"{folder}/vocab.txt", "rb").read().rstrip(b"\n").split(b"\n")
own = json.load(open(f"{folder}/tiankong.json")) if os.path.exists(f"{folder}/tiankong.json") else {}
calibration = json.dumps(own["calibration"], ensure_ascii=False, separators=(",", ":")).encode() if "calibration" in own else None
lower = options.get("do_lower_case", True)
flags = [lower, lower if options.get("strip_accents") is None else options["strip_accents"], options.get("tokenize_chinese_chars", True)]
lines = ["tiankong-version 1", "shape " + " ".join(str(config[k]) for k in ("num_hidden_layers", "hidden_size", "num_attention_heads",
    "intermediate_size", "max_position_embeddings", "type_vocab_size", "vocab_size", "hidden_act")) + " " + struct.pack(">d", config["layer_norm_eps"]).hex(),
    "tokenizer " + " ".join(str(int(f)) for f in flags), "vocabulary " + sha(b"\n".join(pieces)), "calibration " + (sha(calibration) if calibration else "-")]
for name in sorted(k for k in header if k != "__metadata__"):
    t = header[name]
    begin, end = t["data_offsets"]
    lines.append(f"tensor {name} {t['dtype']} {'x'.join(map(str, t['shape']))} {sha(data[begin:end])}")
print(sha("".join(line + "\n" for line in lines).encode()))

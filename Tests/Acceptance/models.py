"""Changed copies of Hugging Face folders, keys, patches taken apart, and a desk to make them on: for tests that need something to patch."""
import base64, json, pathlib, shutil, struct, subprocess

import numpy as np, pytest

import patch_reader

FIXTURES = pathlib.Path(__file__).parents[1] / "Fixtures"
FOLDERS = sorted(p.name for p in FIXTURES.glob("tiny-*"))
WORDS, DECODER = "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"
NAMESPACE = "tiankong-patch"
TIED, F16 = FIXTURES / "tiny-tied", FIXTURES / "tiny-untied-f16"


def read_tensors(path):
    """name -> (dtype, shape, bytes) of a safetensors file."""
    raw = pathlib.Path(path).read_bytes()
    start = 8 + struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:start])
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"], raw[start + t["data_offsets"][0]:start + t["data_offsets"][1]]) for name, t in header.items()}


def write_tensors(path, tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


def floats(dtype, shape, content):
    """A stored tensor as fp32, exactly."""
    if dtype == "BF16":
        return (np.frombuffer(content, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    return np.frombuffer(content, {"F32": "<f4", "F16": "<f2"}[dtype]).astype("<f4").reshape(shape)


def stored(dtype, array):
    """fp32 as a tensor is stored, rounded to nearest even."""
    array = np.ascontiguousarray(array, "<f4")
    if dtype == "BF16":
        bits = array.view("<u4").astype("<u8")
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()
    return array.astype({"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()


def names(folder):
    """Tensors of a folder, by the names that stand in its files."""
    return [name for path in sorted(pathlib.Path(folder).glob("*.safetensors")) for name in read_tensors(path)]


def copy_with(base_dir, out_dir, change):
    """A copy with some tensors changed: name -> function of the fp32 array; the dtype stays. A tied folder's decoder is
    the word embeddings, and naming it unties the copy."""
    out, left = pathlib.Path(out_dir), dict(change)
    shutil.copytree(base_dir, out)
    for path in sorted(out.glob("*.safetensors")):
        tensors = read_tensors(path)
        if DECODER in left and DECODER not in tensors and path.name == "model.safetensors":
            tensors[DECODER] = tensors[WORDS]
        if DECODER in left and DECODER in tensors:
            set_json(out / "config.json", tie_word_embeddings=False)
        for name in tensors.keys() & left.keys():
            dtype, shape, content = tensors[name]
            tensors[name] = dtype, shape, stored(dtype, left.pop(name)(floats(dtype, shape, content).copy()))
        write_tensors(path, tensors)
    assert not left, f"no such tensors: {sorted(left)}"
    return out


def set_json(path, **members):
    """Sets members of a JSON file, which is made where there is none."""
    path = pathlib.Path(path)
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **members}, ensure_ascii=False))


def noise(scale=1e-3, seed=1):
    """Adds a little of it."""
    return lambda array: array + np.random.default_rng(seed).normal(0, scale, array.shape).astype("<f4")


def tuned(base_dir, out_dir, scale=1e-3, seed=1):
    """As fine-tuning would leave it: every tensor of the first layer changed a little."""
    return copy_with(base_dir, out_dir, {name: noise(scale, seed + i) for i, name in enumerate(names(base_dir)) if "layer.0." in name})


def keypair(folder, name, passphrase=""):
    """-> (path of a new ssh-ed25519 key, the line of allowed_signers that trusts it as NAME)."""
    key = pathlib.Path(folder) / f"{name}.key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", key], check=True)
    return key, f"{name} " + " ".join((key.parent / f"{key.name}.pub").read_text().split()[:2]) + "\n"


def take_apart(path):
    """-> (manifest, signature, frames), bytes each."""
    raw = pathlib.Path(path).read_bytes()
    manifest, signature = struct.unpack("<II", raw[20:28])
    return raw[36:36 + manifest], raw[36 + manifest:36 + manifest + signature], raw[36 + manifest + signature:]


def put_together(path, manifest, signature=b"", frames=b""):
    """The same again, with a header that fits."""
    sizes = len(manifest), len(signature)
    head = struct.pack("<II8sIIIQ", 0x184D2A50, 28 + sum(sizes), b"TIANKONG", 1, *sizes, 36 + sum(sizes) + len(frames))
    pathlib.Path(path).write_bytes(head + manifest + signature + frames)
    return path


def armoured(signature):
    """A raw signature as ssh-keygen reads it."""
    text = base64.b64encode(signature).decode()
    lines = [text[i:i + 70] for i in range(0, len(text), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


class Desk:
    """Where patches are made: a key, a trust list and a folder."""

    def __init__(self, tiankong, folder):
        self.tiankong, self.folder = tiankong, folder
        self.key, self.line = keypair(folder, "ops")
        self.allowed = self.trust(self.line)

    def trust(self, text, name="allowed_signers"):
        (self.folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.folder / name

    def patch(self, *words):
        """The command; whatever comes of it, it is no crash."""
        result = self.tiankong("patch", *words, place=words[0] not in ("sign", "inspect"))
        assert result.returncode in (0, 64, 65, 69, 73, 77), (words, result)
        assert result.returncode == 0 or (result.stderr and "Fatal error" not in result.stderr), result
        return result

    def make(self, base, target, *words, name="week48"):
        file = self.folder / f"{name}.tkp.zst"
        made = self.patch("make", "--base", base, "--target", target, "-o", file, "--json", *words)
        assert made.returncode == 0, made.stderr
        return file, json.loads(made.stdout)

    def sign(self, file):
        result = self.patch("sign", file, "--key", self.key)
        assert result.returncode == 0, result.stderr
        return file

    def verify(self, file, *words, allowed=None):
        return self.patch("verify", file, "--allowed-signers", allowed or self.allowed, *words)

    def good(self, base, target, *words, name="week48"):
        """Makes, signs and verifies; the second reader agrees; -> (file, what make said, frames)."""
        file, made = self.make(base, target, *words, name=name)
        result = self.verify(self.sign(file), "--base", base)
        assert result.returncode == 0 and "ops" in result.stdout, result.stderr
        assert subprocess.run(["zstd", "-tq", file]).returncode == 0
        assert patch_reader.applied(file, base, self.allowed) == made["target"]
        return file, made, json.loads(take_apart(file)[0])["frames"]

    def refused(self, file, *words, allowed=None, base=TIED):
        """By us and by the second reader; -> what we said."""
        result = self.verify(file, "--base", base, allowed=allowed)
        assert result.returncode == 65, (result.returncode, result.stdout, result.stderr)
        for word in words:
            assert word in result.stderr, result.stderr
        with pytest.raises(patch_reader.Refused):
            patch_reader.applied(file, base, allowed or self.allowed)
        return result.stderr

    def imported(self, folder, state):
        result = self.tiankong("import", folder, "--json", "--state", self.folder / state, place=False)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)["version"]

    def keygen(self, *words, input=None):
        return subprocess.run(["ssh-keygen", *map(str, words)], input=input, capture_output=True)

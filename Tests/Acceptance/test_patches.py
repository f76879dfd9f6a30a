"""What `patch make` writes is what docs/PATCH-FORMAT.md says, and nothing else passes `patch verify`: a second reader,
ssh-keygen and zstd are asked too."""
import base64, hashlib, json, pathlib, shutil, struct, subprocess

import numpy as np, pytest, zstandard

import patch_reader
from conftest import BINARY, CLEAN
from models import (DECODER, F16, FIXTURES, FOLDERS, NAMESPACE, TIED, WORDS, Desk, armoured, copy_with, floats, keypair, noise, put_together, read_tensors,
    set_json, stored, take_apart, tuned, write_tensors)

QUERY = "bert.encoder.layer.0.attention.self.query.weight"


@pytest.fixture
def desk(tiankong, tmp_path):
    return Desk(tiankong, tmp_path)


# What is made

@pytest.mark.parametrize("encoding", ["exact", "compact"])
@pytest.mark.parametrize("name", FOLDERS)
def test_a_patch_leads_from_every_model_to_the_version_it_names(desk, name, encoding):
    target = tuned(FIXTURES / name, desk.folder / "target")
    file, made, frames = desk.good(FIXTURES / name, target, "--encoding", encoding)
    assert 10 < made["tensors"] == len(frames)
    assert {f["op"] for f in frames} <= {"delta", "replace"}
    if encoding == "exact":
        assert made["largest_difference"] == 0 and made["target"] == desk.imported(target, "s")
    else:
        assert 0 < made["largest_difference"] < 3e-4 and any(f["encoding"] == "compact" for f in frames)
        assert all(len(f["shape"]) == 2 for f in frames if f["encoding"] == "compact")
    assert (made["epoch"], made["release"], made["line"]) == (1, f"{name}+1", made["base"])


@pytest.mark.parametrize("name", FOLDERS)
def test_what_is_exported_is_imported_and_patched_to_the_same_fingerprint(desk, name):
    target = tuned(FIXTURES / name, desk.folder / "target")
    version = desk.imported(target, "a")
    exported = desk.folder / "exported"
    result = desk.tiankong("export", exported, "--state", desk.folder / "a", place=False)
    assert result.returncode == 0, result.stderr
    assert desk.imported(exported, "b") == version
    assert desk.good(FIXTURES / name, exported)[1]["target"] == version
    back, made, _ = desk.good(exported, FIXTURES / name, name="back")
    assert made["line"] == version and made["target"] == desk.imported(FIXTURES / name, "c")


def test_a_kept_version_is_a_base_by_fingerprint_and_by_release(desk):
    result = desk.tiankong("import", TIED, "--release", "r7", "--json")
    version = json.loads(result.stdout)["version"]
    target = tuned(TIED, desk.folder / "target")
    for base in (version, version[:12], "r7"):
        made = desk.make(base, target)[1]
        assert (made["base"], made["release"], made["epoch"]) == (version, "r7+1", 1)


def test_a_decoder_that_differs_in_a_few_rows_is_sent_as_these_rows(desk):
    def few(array):
        array[[3, 70, 282]] += 1
        return array
    target = copy_with(TIED, desk.folder / "untied", {DECODER: few})
    file, made, frames = desk.good(TIED, target)
    assert [(f["tensor"], f["op"], f["encoding"], f["exact"]) for f in frames] == [(DECODER, "rows", "raw", 4 + 3 * (4 + 4 * 32))]
    assert made["target"] == desk.imported(target, "s")
    tied_again = desk.good(target, TIED, name="back")[1]
    assert tied_again["target"] == made["base"]


def test_a_decoder_may_stay_when_the_embeddings_it_was_tied_to_change(desk):
    target = copy_with(TIED, desk.folder / "untied", {WORDS: noise(), DECODER: lambda array: array})
    _, made, frames = desk.good(TIED, target)
    assert [(f["tensor"], f["op"], f["exact"]) for f in frames if f["op"] == "rows"] == [(DECODER, "rows", 4)]
    assert made["target"] == desk.imported(target, "s")
    together = copy_with(TIED, desk.folder / "tied", {WORDS: noise()})
    assert [f["tensor"] for f in desk.good(TIED, together, name="b")[2]] == [WORDS]


@pytest.mark.parametrize("encoding", ["exact", "compact"])
def test_a_changed_tensor_may_have_another_dtype_than_its_source(desk, encoding):
    wide = desk.folder / "wide"
    shutil.copytree(F16, wide)
    tensors = read_tensors(F16 / "model.safetensors")
    write_tensors(wide / "model.safetensors", {n: ("F32", t[1], stored("F32", noise()(floats(*t)))) for n, t in tensors.items()})
    assert {f["dtype"] for f in desk.good(F16, wide, "--encoding", encoding)[2]} == {"F32"}
    assert {f["dtype"] for f in desk.good(wide, F16, "--encoding", encoding, name="back")[2]} == {"F16"}


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, 1e-40, 1.17549435e-38, 3e38, -3e38])
def test_numbers_at_the_ends_of_fp32_come_out_bit_by_bit(desk, value):
    def change(array):
        array[:] = np.resize(np.array([value, 1, -value, 0], "f4"), array.shape)
        return array
    target = copy_with(TIED, desk.folder / "target", {QUERY: change})
    assert desk.good(TIED, target)[1]["target"] == desk.imported(target, "s")
    back = desk.good(target, TIED, name="back")[1]
    assert back["largest_difference"] == 0


@pytest.mark.parametrize("name", ["tiny-bf16-relu", "tiny-untied-f16"])
def test_subnormal_halves_come_out_bit_by_bit(desk, name):
    def change(array):
        array[:] = np.resize(np.array([6e-8, -6e-8, 1e-7, 6.1e-5, 6e-5, 0, -0.0, 65504 if "f16" in name else 3e38], "f4"), array.shape)
        return array
    target = copy_with(FIXTURES / name, desk.folder / "target", {QUERY: change})
    assert desk.good(FIXTURES / name, target)[1]["target"] == desk.imported(target, "s")


def test_a_patch_may_change_the_calibration_alone_and_inherits_it_otherwise(desk):
    calibrated = desk.folder / "calibrated"
    shutil.copytree(TIED, calibrated)
    set_json(calibrated / "tiankong.json", calibration={"temperature": 1.25, "笔\u2028": [1, 1.0, 1e-5]})
    file, made, frames = desk.good(TIED, calibrated)
    assert frames == [] and made["target"] == desk.imported(calibrated, "s")
    text = json.loads(take_apart(file)[0])["calibration"]
    assert json.loads(text)["temperature"] == 1.25
    plain = tuned(TIED, desk.folder / "plain")
    assert json.loads(take_apart(desk.good(calibrated, plain, name="b")[0])[0])["calibration"] == text


def test_a_dossier_and_a_release_travel_in_the_manifest(desk):
    dossier = {"trained": "2026-11-24", "by": "甲", "figures": {"idiom": {"rows": 200, "top1": 0.61}}}
    (desk.folder / "d.json").write_text(json.dumps(dossier))
    file, made, _ = desk.good(TIED, tuned(TIED, desk.folder / "t"), "--dossier", desk.folder / "d.json", "--release", "第48周", "--epoch", "7")
    shown = json.loads(desk.patch("inspect", file).stdout)
    assert (shown["dossier"], shown["release"], shown["epoch"]) == (dossier, "第48周", 7)
    assert shown["identity"] == hashlib.sha256(take_apart(file)[0]).hexdigest() and shown["bytes"] == file.stat().st_size
    assert shown["key"] == " ".join(desk.line.split()[1:])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_target_that_is_not_finite_is_refused(desk, value):
    def spoil(array):
        array[1, 2] = value
        return array
    target = copy_with(TIED, desk.folder / "target", {QUERY: spoil})
    result = desk.patch("make", "--base", TIED, "--target", target, "-o", desk.folder / "a")
    assert result.returncode == 65 and QUERY in result.stderr and "element 34" in result.stderr and "finite" in result.stderr
    assert not (desk.folder / "a").exists()


def test_checkpoints_that_no_patch_can_join_are_refused(desk):
    for target, words in ((FIXTURES / "tiny-sharded", ["shape"]), (FIXTURES / "tiny-capitals", []), (TIED, ["difference"])):
        result = desk.patch("make", "--base", TIED, "--target", target, "-o", desk.folder / "a")
        assert result.returncode == 65 and all(w in result.stderr for w in ["target", *words]), result.stderr
        assert not (desk.folder / "a").exists()


@pytest.mark.parametrize("case", ["a control character", "a long folder's name", "a deep dossier", "a compact difference that vanishes"])
def test_what_make_writes_can_be_read(desk, case):
    base, target, words = TIED, tuned(TIED, desk.folder / "t"), []
    if case == "a control character":
        words = ["--release", "a\tb"]
    elif case == "a long folder's name":
        base = shutil.copytree(TIED, desk.folder / ("n" * 150))
    elif case == "a deep dossier":
        desk.trust('{"a":' + "[" * 63 + "]" * 63 + "}", "d.json")
        words = ["--dossier", desk.folder / "d.json"]
    else:
        base = copy_with(TIED, desk.folder / "zero", {QUERY: np.zeros_like})
        target, words = copy_with(base, desk.folder / "minus", {QUERY: lambda array: -array}), ["--encoding", "compact"]
    file = desk.folder / "a.tkp.zst"
    if desk.patch("make", "--base", base, "--target", target, "-o", file, *words).returncode == 0:
        assert desk.verify(desk.sign(file), "--base", base).returncode == 0


# Who signed

def test_ssh_keygen_signs_as_we_do_and_accepts_what_we_sign(desk):
    file, _ = desk.make(TIED, tuned(TIED, desk.folder / "t"))
    manifest = desk.tiankong("patch", "inspect", file, "--manifest", place=False, input=b"").stdout
    assert manifest == take_apart(file)[0]
    (desk.folder / "m").write_bytes(manifest)
    assert desk.keygen("-Y", "sign", "-n", NAMESPACE, "-f", desk.key, desk.folder / "m").returncode == 0
    other = shutil.copy(file, desk.folder / "other.tkp.zst")
    result = desk.patch("sign", other, "--signature", desk.folder / "m.sig")
    assert result.returncode == 0, result.stderr
    ours, theirs = desk.verify(desk.sign(file), "--base", TIED), desk.verify(other, "--base", TIED)
    assert ours.returncode == theirs.returncode == 0 and ours.stdout == theirs.stdout
    assert file.read_bytes() == other.read_bytes()  # ed25519 is deterministic
    (desk.folder / "ours.sig").write_text(armoured(take_apart(file)[1]))
    answer = desk.keygen("-Y", "verify", "-f", desk.allowed, "-I", "ops", "-n", NAMESPACE, "-s", desk.folder / "ours.sig", input=manifest)
    assert answer.returncode == 0, answer


def test_a_signature_over_sha256_counts_and_signing_again_replaces(desk):
    file, _ = desk.make(TIED, tuned(TIED, desk.folder / "t"))
    desk.sign(file)
    (desk.folder / "m").write_bytes(take_apart(file)[0])
    key, line = keypair(desk.folder, "乙")
    assert desk.keygen("-Y", "sign", "-O", "hashalg=sha256", "-n", NAMESPACE, "-f", key, desk.folder / "m").returncode == 0
    assert desk.patch("sign", file, "--signature", desk.folder / "m.sig").returncode == 0
    assert b"sha256" in take_apart(file)[1]
    desk.refused(file, "signer")
    both = desk.trust(f"# two\n\n{desk.line}{line}", "both")
    assert "乙" in desk.verify(file, "--base", TIED, allowed=both).stdout
    patch_reader.applied(file, TIED, both)


def test_the_recipe_of_the_document_verifies_with_ssh_keygen_alone(desk):
    file, _ = desk.make(TIED, tuned(TIED, desk.folder / "t"))
    page = (pathlib.Path(__file__).parents[2] / "docs/PATCH-FORMAT.md").read_text()
    recipe = page.split("**Verify** without us:")[1].split("```sh\n")[1].split("```")[0].replace("PRINCIPAL", "ops")
    shutil.copy(desk.sign(file), desk.folder / "F")
    result = subprocess.run(["bash", "-euc", recipe], cwd=desk.folder, capture_output=True, text=True)
    assert result.returncode == 0 and "Good" in result.stdout, result


def test_a_key_with_a_passphrase_is_refused_with_the_way_round_it(desk):
    file, _ = desk.make(TIED, tuned(TIED, desk.folder / "t"))
    before = file.read_bytes()
    key, _ = keypair(desk.folder, "locked", passphrase="secret")
    result = desk.patch("sign", file, "--key", key)
    assert result.returncode == 65 and str(key) in result.stderr
    for words in ("patch inspect", "--manifest", "ssh-keygen -Y sign -n tiankong-patch", "--signature"):
        assert words in result.stderr, result.stderr
    assert file.read_bytes() == before


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_keys_of_other_kinds_cannot_sign(desk, kind):
    file, _ = desk.make(TIED, tuned(TIED, desk.folder / "t"))
    key = desk.folder / kind
    assert desk.keygen("-q", "-t", kind, "-N", "", "-f", key).returncode == 0
    assert desk.patch("sign", file, "--key", key).returncode == 65
    (desk.folder / "m").write_bytes(take_apart(file)[0])
    desk.keygen("-Y", "sign", "-n", NAMESPACE, "-f", key, desk.folder / "m")
    result = desk.patch("sign", file, "--signature", desk.folder / "m.sig")
    assert result.returncode == 65 and "ssh-ed25519" in result.stderr
    line = f"ops {(desk.folder / (kind + '.pub')).read_text()}"
    desk.refused(desk.sign(file), "allowed_signers", allowed=desk.trust(line, "other"))


TRUST = {  # name: (a line of allowed_signers, words of the refusal); None: it is good
    "an unknown signer": ("", ["signer", "allowed_signers", "ssh-ed25519 AAAA"]),
    "a key that has expired": ('{n} valid-before="20200101" {k}', ["ops", "not valid any more"]),
    "a key of the future": ('{n} valid-after="20990101000000Z" {k}', ["ops", "not valid yet"]),
    "a key for something else": ('{n} namespaces="git,file" {k}', ["ops", "git,file", NAMESPACE]),
    "a key for all but this": ('{n} namespaces="*,!tiankong-*" {k}', ["ops", NAMESPACE]),
    "a certificate authority": ("{n} cert-authority {k}", ["allowed_signers"]),
    "a line with an unknown option": ('{n} valid-until="20990101" {k}', ["line 1", "valid-until"]),
    "a day that does not exist": ('{n} valid-before="20260231" {k}', ["line 1", "20260231"]),
    "a key that is cut off": ("{n} ssh-ed25519 AAAAC3NzaC1lZDI1", ["line 1"]),
    "a good key within its time": ('{n} valid-after="20200101",valid-before="20990101Z" {k}', None),
    "a good key for several uses": ('{n},two@example NAMESPACES="git,tiankong-*" {k} a comment', None),
    "a good key after another one's line": ('x ssh-rsa AAAA\n{n}\t{k}', None),
}


@pytest.mark.parametrize("case", TRUST)
def test_only_who_is_trusted_now_and_for_patches_signs(desk, case):
    file, _ = desk.make(TIED, tuned(TIED, desk.folder / "t"))
    desk.sign(file)
    line, words = TRUST[case]
    allowed = desk.trust(line.format(n="ops", k=" ".join(desk.line.split()[1:])) + "\n", "other")
    if words is None:
        assert desk.verify(file, "--base", TIED, allowed=allowed).returncode == 0
    else:
        assert desk.verify(file, allowed=allowed).returncode == 65
        desk.refused(file, *words, allowed=allowed)


@pytest.mark.parametrize("line", ["!* {k}", '{n} namespaces="git",namespaces="tiankong-patch" {k}', '{n} valid-before="20200101",valid-before="20990101" {k}',
    '{n} valid-before="20990101126199Z" {k}'])
def test_a_line_that_ssh_keygen_does_not_accept_trusts_nobody(desk, line):
    file, _ = desk.make(TIED, tuned(TIED, desk.folder / "t"))
    desk.refused(desk.sign(file), allowed=desk.trust(line.format(n="ops", k=" ".join(desk.line.split()[1:])) + "\n", "other"))


def test_a_trust_list_with_the_line_ends_of_windows_is_read(desk):
    file, _ = desk.make(TIED, tuned(TIED, desk.folder / "t"))
    _, other = keypair(desk.folder, "other")
    text = f"# who may sign\n{other}{desk.line}".replace("\n", "\r\n")
    result = desk.verify(desk.sign(file), allowed=desk.trust(text, "crlf"))
    assert result.returncode == 0, result.stderr


def test_a_signature_for_another_use_or_other_bytes_is_refused(desk):
    file, _ = desk.make(TIED, tuned(TIED, desk.folder / "t"))
    manifest, _, frames = take_apart(file)
    (desk.folder / "m").write_bytes(manifest)
    (desk.folder / "n").write_bytes(manifest + b" ")
    for name, namespace, words in (("m", "git", ["namespace tiankong-patch", "git"]), ("n", NAMESPACE, ["signature"])):
        assert desk.keygen("-Y", "sign", "-n", namespace, "-f", desk.key, desk.folder / name).returncode == 0
        result = desk.patch("sign", file, "--signature", desk.folder / f"{name}.sig")
        assert result.returncode == 65 and all(w in result.stderr for w in words), result.stderr
        assert take_apart(file)[1] == b""
        text = (desk.folder / f"{name}.sig").read_text().split("\n")
        blob = base64.b64decode("".join(text[1:-2]))
        desk.refused(put_together(desk.folder / "forged.tkp.zst", manifest, blob, frames), *words)
    desk.refused(file, "signature", "none")


# What is damaged or forged

def test_no_bit_and_no_length_of_the_file_is_free(desk):
    file, _ = desk.make(TIED, tuned(TIED, desk.folder / "t"))
    good = desk.sign(file).read_bytes()
    manifest, signature, _ = (len(part) for part in take_apart(file))
    signed, framed = 36 + manifest, 36 + manifest + signature
    bad = desk.folder / "bad.tkp.zst"
    for at in (0, 4, 8, 16, 20, 24, 28, 35, 36, 40, signed - 1, signed, signed + 40, framed - 1, framed, len(good) - 1):
        bad.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        desk.refused(bad)
    for content in (good[:-1], good[:framed], good[:signed], good[:36], good[:35], good[:1], b"", good + b"\0", good + good):
        bad.write_bytes(content)
        assert "expected" in desk.refused(bad)


def change(**members):
    return lambda manifest: {**manifest, **members}


def first(**members):
    return lambda manifest: {**manifest, "frames": [{**manifest["frames"][0], **members}, *manifest["frames"][1:]]}


WRONG = {  # signed by a trusted key, and wrong all the same
    "an unknown key": change(note=""), "a key that lacks": lambda m: {k: v for k, v in m.items() if k != "created"},
    "another kind": change(kind="order"), "epoch 0": change(epoch=0), "an epoch beyond 31 bits": change(epoch=1 << 31),
    "an epoch that is true": change(epoch=True), "an epoch with a fraction": change(epoch=1.0),
    "capitals in a digest": lambda m: {**m, "line": m["line"].upper()},
    "an empty release": change(release=""), "a release of two lines": change(release="a\nb"), "a release of 101 bytes": change(release="a" * 101),
    "a created that is a number": change(created=1), "a calibration that is an object": change(calibration={}), "a dossier that is a list": change(dossier=[]),
    "a dossier with half a pair": change(dossier={"a": "\ud800"}), "a dossier too deep": change(dossier=json.loads('{"a":' * 64 + "1" + "}" * 64)),
    "frames that are an object": change(frames={}), "a frame left out": lambda m: {**m, "frames": m["frames"][1:]},
    "a tensor twice": lambda m: {**m, "frames": [m["frames"][0], {**m["frames"][1], "tensor": m["frames"][0]["tensor"]}, *m["frames"][2:]]},
    "frames swapped": lambda m: {**m, "frames": [m["frames"][1], m["frames"][0], *m["frames"][2:]]},
    "another base": change(base="0" * 64), "another target": change(target="0" * 64), "the base as target": lambda m: {**m, "target": m["base"]},
    "an unknown key of a frame": first(note=1), "a tensor that is not there": first(tensor="../../etc/passwd"), "another shape": first(shape=[16, 2]),
    "no shape": first(shape=[]), "a shape of three": first(shape=[1, 1, 32]), "a huge shape": first(shape=[1 << 28, 1 << 28]),
    "another dtype": first(dtype="F16"),
    "an unknown dtype": first(dtype="I8"), "an unknown op": first(op="xor"), "a pair that is none": first(op="replace", encoding="exact"),
    "a length that lies": first(exact=1 << 33), "a compressed length that lies": first(compressed=1), "another digest": first(sha256="0" * 64),
    "another result": first(result="0" * 64), "rows of a vector that are none": first(op="rows", encoding="raw"),
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A desk with one patch on it, for tests that take it apart."""
    def run(*words, place=True, input=None):
        return subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True, env=CLEAN, timeout=120)

    desk = Desk(run, tmp_path_factory.mktemp("bench"))
    desk.parts = take_apart(desk.make(TIED, tuned(TIED, desk.folder / "t"))[0])
    return desk


@pytest.mark.parametrize("case", WRONG)
def test_a_signed_manifest_that_is_wrong_is_refused(bench, case):
    manifest, _, frames = bench.parts
    wrong = json.dumps(WRONG[case](json.loads(manifest))).encode()
    said = bench.refused(bench.sign(put_together(bench.folder / "wrong.tkp.zst", wrong, b"", frames)))
    assert "expected" in said and len(said) > 40


@pytest.mark.parametrize("case", ["a key twice", "text after it", "a byte order mark", "no JSON", "a list", "an escape cut off"])
def test_a_signed_manifest_that_is_no_strict_json_is_refused(bench, case):
    manifest, _, frames = bench.parts
    wrong = {"a key twice": manifest[:-1] + b',"epoch":1}', "text after it": manifest + b"x", "a byte order mark": b"\xef\xbb\xbf" + manifest,
        "no JSON": b"\0" * 50, "a list": b"[" + manifest + b"]", "an escape cut off": manifest[:-1] + b',"\\uFF'}[case]
    bench.refused(bench.sign(put_together(bench.folder / "wrong.tkp.zst", wrong, b"", frames)), "manifest")


def test_white_space_and_order_of_a_manifest_are_the_makers_own(bench):
    manifest, _, frames = bench.parts
    loose = json.dumps(dict(reversed(json.loads(manifest).items())), indent=3).encode()
    file = bench.sign(put_together(bench.folder / "loose.tkp.zst", loose, b"", frames))
    assert bench.verify(file, "--base", TIED).returncode == 0
    assert patch_reader.applied(file, TIED, bench.allowed) == json.loads(manifest)["target"]


def compress(content, **options):
    return zstandard.ZstdCompressor(**options).compress(content)


FRAMES = {  # made of what was in the frame; digests and lengths in the manifest fit
    "two frames": lambda raw: compress(raw[:8]) + compress(raw[8:]), "a skippable frame before": lambda raw: b"\x50\x2a\x4d\x18\4\0\0\0abcd" + compress(raw),
    "a byte after": lambda raw: compress(raw) + b"\0", "a frame cut off": lambda raw: compress(raw)[:-1], "a bomb": lambda raw: compress(raw + bytes(1 << 26)),
    "too short": lambda raw: compress(raw[:-1]), "no frame": lambda raw: raw,
    "a bomb of no stated size": lambda raw: compress(raw + bytes(1 << 26), write_content_size=False),
    "a wrong checksum": lambda raw: compress(raw, write_checksum=True)[:-1] + b"\0",
}


@pytest.mark.parametrize("case", [*FRAMES, None])
def test_a_signed_frame_that_is_not_one_zstd_frame_of_its_size_is_refused(bench, case):
    manifest, _, frames = bench.parts
    manifest = json.loads(manifest)
    size = manifest["frames"][0]["compressed"]
    raw = zstandard.ZstdDecompressor().decompress(frames[:size])
    packed = FRAMES[case](raw) if case else compress(raw, write_content_size=False, level=19)
    manifest["frames"][0].update(compressed=len(packed), sha256=hashlib.sha256(packed).hexdigest())
    file = bench.sign(put_together(bench.folder / "frame.tkp.zst", json.dumps(manifest).encode(), b"", packed + frames[size:]))
    if case:
        bench.refused(file, manifest["frames"][0]["tensor"])
    else:
        assert bench.verify(file, "--base", TIED).returncode == 0
        patch_reader.applied(file, TIED, bench.allowed)


ROWS = {  # k, places, rows there
    "a row twice": (2, [3, 3], 2), "falling rows": (2, [4, 3], 2), "a row beyond": (1, [283], 1), "fewer rows than said": (2, [3, 4], 1),
    "more rows than said": (1, [3], 2), "more rows than there are": (1 << 31, [3], 1), None: (2, [0, 282], 2),
}


@pytest.mark.parametrize("case", ROWS)
def test_rows_rise_and_fill_their_frame(bench, case):
    k, places, there = ROWS[case]
    content = struct.pack(f"<I{len(places)}I", k, *places) + bytes(range(128)) * there
    words = bytearray(read_tensors(TIED / "model.safetensors")[WORDS][2])
    for place in places:
        words[place * 128:(place + 1) * 128] = bytes(range(128))
    packed = compress(content)
    frame = dict(tensor=DECODER, shape=[283, 32], dtype="F32", op="rows", encoding="raw", compressed=len(packed), exact=len(content),
        sha256=hashlib.sha256(packed).hexdigest(), result=hashlib.sha256(words[:283 * 128]).hexdigest())
    manifest = {**json.loads(bench.parts[0]), "frames": [frame]}
    head, _, tensors = patch_reader.folder(TIED)
    manifest["target"] = patch_reader.fingerprint(head, None, {**tensors, DECODER: ("F32", [283, 32], bytes(words[:283 * 128]))})
    file = bench.sign(put_together(bench.folder / "rows.tkp.zst", json.dumps(manifest).encode(), b"", packed))
    if case:
        bench.refused(file)
    else:
        assert bench.verify(file, "--base", TIED).returncode == 0
        patch_reader.applied(file, TIED, bench.allowed)


def test_a_signed_result_that_is_not_finite_is_refused(bench):
    content = np.full(32 * 32, np.inf, "<f4").tobytes()
    packed = compress(content)
    frame = dict(tensor=QUERY, shape=[32, 32], dtype="F32", op="replace", encoding="raw", compressed=len(packed), exact=len(content),
        sha256=hashlib.sha256(packed).hexdigest(), result=hashlib.sha256(content).hexdigest())
    manifest = {**json.loads(bench.parts[0]), "frames": [frame]}
    bench.refused(bench.sign(put_together(bench.folder / "inf.tkp.zst", json.dumps(manifest).encode(), b"", packed)), QUERY, "finite")


def test_a_good_patch_for_another_base_is_refused_by_name(bench):
    file = bench.sign(put_together(bench.folder / "good.tkp.zst", *(bench.parts[0], b"", bench.parts[2])))
    said = bench.refused(file, "base", base=FIXTURES / "tiny-sharded")
    assert "expected" in said
    other = tuned(TIED, bench.folder / "other", seed=99)
    bench.refused(file, base=other)


# Orders, and what people type

def test_an_order_to_go_back_is_signed_and_verified_like_a_patch(desk):
    version = json.loads(desk.tiankong("import", TIED, "--json").stdout)["version"]
    file = desk.folder / "back.tkp.zst"
    for words in (["--to", version[:10]], ["--to", version, "--line", version]):
        result = desk.patch("order", *words, "--epoch", "3", "--reason", "七日内错字变多", "-o", file)
        assert result.returncode == 0, result.stderr
        desk.refused(file, "signature")
        desk.sign(file)
        result = desk.verify(file)
        assert result.returncode == 0 and "order" in result.stdout and "ops" in result.stdout
        assert subprocess.run(["zstd", "-tq", file]).returncode == 0
        assert patch_reader.applied(file, TIED, desk.allowed) == version
        order = json.loads(take_apart(file)[0])
        assert order == {"kind": "rollback", "line": version, "to": version, "epoch": 3, "reason": "七日内错字变多"}
    for wrong in ({"epoch": 0}, {"note": 1}, {"reason": "a" * 1001}, {"reason": None}, {"to": version[:10]}):
        bad = put_together(desk.folder / "bad.tkp.zst", json.dumps({**order, **wrong}).encode())
        desk.refused(desk.sign(bad), "manifest")
    desk.refused(desk.sign(put_together(desk.folder / "bad.tkp.zst", json.dumps(order).encode(), b"", b"slack")))


def test_files_that_are_no_patches_are_named_and_refused(desk):
    (desk.folder / "text").write_text("春风又绿江南岸，" * 10)
    (desk.folder / "empty").write_bytes(b"")
    subprocess.run(["mkfifo", desk.folder / "fifo"], check=True)
    for name in ("nothing here", "text", "empty", "fifo", ""):
        for words in (["inspect"], ["sign", "--key", desk.key], ["verify", "--allowed-signers", desk.allowed]):
            result = desk.patch(words[0], desk.folder / name, *words[1:])
            assert result.returncode == 65 and str(desk.folder / name) in result.stderr, result.stderr
    assert (desk.folder / "text").read_text().startswith("春风") and (desk.folder / "empty").read_bytes() == b""


def test_wrong_words_have_the_exit_codes_of_sysexits(desk):
    target, out = tuned(TIED, desk.folder / "t"), desk.folder / "a.tkp.zst"
    file, _ = desk.make(TIED, target)
    make = ["make", "--base", TIED, "--target", target, "-o", out]
    for words, code, said in (
        (["sign", file], 64, "--key"), (["sign", file, "--key", desk.key, "--signature", desk.key], 64, "--key"),
        (["sign", file, "--key", desk.allowed], 65, "OPENSSH PRIVATE KEY"),
        (["sign", file, "--signature", desk.allowed], 65, "SSH SIGNATURE"),
        (["make", "--base", TIED, "-o", out], 64, "--target"), ([*make, "--epoch", "0"], 64, "--epoch"), ([*make, "--epoch", "x"], 64, "epoch"),
        ([*make, "--encoding", "zip"], 64, "compact"), ([*make, "--release", ""], 64, "--release"), ([*make, "--dossier", desk.allowed], 65, "allowed_signers"),
        (["make", "--base", "no such version", "--target", target, "-o", out], 65, "no such version"),
        (["make", "--base", TIED, "--target", desk.folder / "none", "-o", out], 65, "none"),
        (["order", "--to", "abc", "--line", "def", "--epoch", "1", "-o", out], 64, "64 hexadecimal digits"),
        (["order", "--to", "abc", "--epoch", "1", "-o", out], 65, "abc"), (["order", "--to", "abc", "--epoch", "0", "-o", out], 64, "--epoch"),
    ):
        result = desk.patch(*words)
        assert result.returncode == code and said in result.stderr, (words, result)
    assert not out.exists()


def test_an_input_that_is_not_there_is_no_failure_to_write(desk):
    target, none = tuned(TIED, desk.folder / "t"), desk.folder / "none"
    file, _ = desk.make(TIED, target)
    for words in (["sign", file, "--key", none], ["sign", file, "--signature", none], ["verify", file, "--allowed-signers", none],
        ["make", "--base", TIED, "--target", target, "-o", desk.folder / "a", "--dossier", none]):
        result = desk.patch(*words)
        assert result.returncode == 65 and str(none) in result.stderr, (words, result)


def test_a_patch_that_cannot_be_written_has_the_exit_code_of_that(desk):
    target = tuned(TIED, desk.folder / "t")
    for out in (desk.folder / "none/a.tkp.zst", desk.folder):
        assert desk.patch("make", "--base", TIED, "--target", target, "-o", out).returncode == 73
    assert not list(desk.folder.parent.glob("*.partial"))

"""What must not go live does not, and says why: who asks notices nothing, the dropped file is left as it is, the receipt
and the history name the object, what was expected and what was found, and nothing is left behind."""
import hashlib, json, math, os, pathlib, shutil, struct

import pytest

import models
from dropping import (BINARY, Signer, Site, described, fill_disk, fingerprint, picture, receipt, repeated_frame, run, serialized, serving, small_disk, stored_frame,
                      until, wait_receipt)

BIAS, WORDS = "cls.predictions.transform.dense.bias", models.WORDS


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("refusals"))
    site.stranger = Signer(site.folder / "stranger", "stranger")
    yield site
    site.stop()


@pytest.fixture
def site(shared_site):
    yield shared_site.ensure()
    # What was refused for want of trust would be taken as soon as the list is mended.
    for path in shared_site.drop.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    shared_site.signer.trust(shared_site.signer)


def refused(site, source, *words, name=None, says=("expected", "found")):
    """Drops a file that must not go live, and looks at everything that a refusal owes; → its receipt."""
    return all_refused(site, [(source, name, (*words, *says))])[0]


def all_refused(site, cases):
    """The same for several at once: a file or bytes, its name there or None, words of the reason."""
    head = site.head()
    with serving(site):
        targets = [site.put(source, name) for source, name, _ in cases]
        pictures, receipts = [picture(target) for target in targets], []
        for target, before, (_, _, words) in zip(targets, pictures, cases):
            told = wait_receipt(target, "refused")
            assert told["file"] == target.name
            for word in words:
                assert word in told["reason"], (target.name, word, told["reason"])
            line = site.told("refused", head, file=target.name)
            assert line["body"]["reason"].split(" · ")[0] in told["reason"], (line["body"], told["reason"])
            assert told["history_head"] in [line["hash"] for line in site.history()]
            assert picture(target) == before
            receipts.append(told)
    return receipts


def left_alone(site, name, make):
    return all_left_alone(site, {name: make})[0]


def all_left_alone(site, cases):
    """Puts things of those names (text or bytes) there which are no business of ours; → their lines of the history."""
    head, paths = site.head(), {}
    with serving(site):
        for name, make in cases.items():
            path = os.path.join(os.fsencode(site.drop), os.fsencode(name))
            make(path)
            paths[path] = picture(path)
        find = lambda: [line for line in site.history(head) if line["kind"] in ("left-alone", "refused") and "barrier" not in line["body"]["file"]]
        until(lambda: len(find()) >= len(cases), what=lambda: find())
        site.barrier()
        lines = find()
        assert len(lines) == len(cases), lines
        for path, before in paths.items():
            assert picture(path) == before
            # What may be no patch at all, by its name, gets no answer; what should be one and is no file is told so.
            name = os.path.basename(path).decode(errors="replace")
            kind = next(line["kind"] for line in lines if name.startswith(line["body"]["file"][:180]))
            assert os.path.lexists(path + b".status.json") == (kind == "refused")
    for path in paths:
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    return lines


def changed(patch, **fields):
    return {**json.loads(patch.manifest), **fields}


def replacing(site, name, tensor, contents, result=None, frame=None, **other):
    """A signed patch, forged from the format's description: one tensor of the live version replaced."""
    base = site.line.models[site.live()]
    patch = site.line.patch(base=base)
    dtype, shape, old = models.read_tensors(base / "model.safetensors")[tensor]
    assert len(old) == len(contents)
    folder = shutil.copytree(base, site.line.folder / f"forged-{patch.epoch}")
    there = models.read_tensors(base / "model.safetensors")
    models.write_tensors(folder / "model.safetensors", {**there, tensor: (dtype, shape, contents if result is None else result)})
    target = fingerprint(folder)
    says, frame = described(tensor, shape, contents, result, frame, dtype, **other)
    site.line.models[target] = folder
    return site.line.forge(name, changed(patch, target=target, frames=[says]), [frame]), target


def floats(count, value):
    return struct.pack(f"<{count}f", *[value] * count)


# What is no file of ours


def test_a_link_named_like_a_patch_is_not_followed(site):
    patch = site.patch()
    line = left_alone(site, "link.tkp.zst", lambda path: os.symlink(patch.path, path))
    assert line["body"]["file"] == "link.tkp.zst"
    # A real file in its place is taken.
    wait_receipt(site.put(patch.path, "link.tkp.zst"), "committed", patient=True)


def test_links_to_nothing_and_in_a_circle_are_left_alone(site):
    all_left_alone(site, {"nowhere.tkp.zst": lambda path: os.symlink("/nowhere", path), "loop.tkp.zst": lambda path: os.symlink("loop.tkp.zst", path)})


def test_a_fifo_named_like_a_patch_is_left_alone_and_blocks_nothing(site):
    line = left_alone(site, "fifo.tkp.zst", os.mkfifo)
    assert line["body"]["file"] == "fifo.tkp.zst"
    os.mkfifo(site.drop / "fifo-2.tkp.zst")
    site.commit(site.patch())
    (site.drop / "fifo-2.tkp.zst").unlink()


def test_a_folder_named_like_a_patch_is_left_alone(site):
    patch = site.patch()

    def make(path):
        os.mkdir(path)
        shutil.copyfile(patch.path, os.path.join(path, b"inside.tkp.zst"))

    left_alone(site, "folder.tkp.zst", make)


def test_names_that_are_too_long_or_of_other_characters_are_left_alone(site):
    patch, log = site.patch(), len(site.service.log)
    names = ["n" * 247 + ".tkp.zst", "n" * 193 + ".tkp.zst", "字" * 65 + ".tkp.zst", b"bad\xff\xfe.tkp.zst", "a b.tkp.zst", "a;rm -rf.tkp.zst", "a\nb.tkp.zst",
             "a\x1b[31m.tkp.zst", "😀.tkp.zst", "<script>.tkp.zst", "a\u202eb.tkp.zst", "-rf\\.tkp.zst"]
    all_left_alone(site, {name: lambda path: shutil.copyfile(patch.path, path) for name in names})
    log = "".join(site.service.log[log:])
    assert "\x1b" not in log and "\u202e" not in log


def test_a_name_of_200_bytes_is_taken(site):
    site.commit(site.patch(name="n" * 192 + ".tkp.zst"))


# What is no whole patch


def test_what_is_no_patch_is_refused(site):
    contents = {"zip": b"PK\3\4" + b"\0" * 500, "page": b"<html>404 not found</html>" * 20, "zstd": b"\x28\xb5\x2f\xfd" + b"\0" * 400, "zeros": b"\0" * 5000}
    all_refused(site, [(content, f"no-patch-{name}.tkp.zst", ("a patch", "expected", "found", name)) for name, content in contents.items()])


def test_an_empty_file_is_incomplete(site):
    with serving(site):
        target = site.put(b"", "empty.tkp.zst")
        told = wait_receipt(target, "incomplete")
        assert told["identity"] is None and told["to"] is None and "expected" in told["reason"] and "found 0" in told["reason"]


def test_a_truncated_file_is_incomplete_and_committed_when_the_rest_has_come(site):
    patch = site.patch()
    data, target = patch.path.read_bytes(), site.drop / patch.name
    for part in (20, 36, 100, len(data) // 2, len(data) - 1):
        with serving(site):
            site.put(data[:part], patch.name)
            until(lambda: (receipt(target) or {}).get("status") == "incomplete" and f"found {part}" in receipt(target)["reason"], what=lambda: receipt(target))
            assert "expected" in receipt(target)["reason"] and target.read_bytes() == data[:part]
    with open(target, "ab") as file:
        file.write(data[-1:])
    assert wait_receipt(target, "committed")["identity"] == patch.identity
    assert site.live() == patch.target


def test_bytes_after_the_end_are_refused_and_the_good_file_is_taken_later(site):
    patch = site.patch()
    size = patch.path.stat().st_size
    refused(site, patch.path.read_bytes() + b"\0", f"{size} bytes", f"{size + 1}", name=patch.name)
    site.put(patch.path)
    wait_receipt(site.drop / patch.name, "committed", patient=True)
    assert site.live() == patch.target


def test_a_header_of_another_format_is_refused(site):
    patch = site.patch()
    data = bytearray(patch.path.read_bytes())
    data[16] = 2
    refused(site, bytes(data), "format 1", "format 2", name="format.tkp.zst")


def test_a_header_of_absurd_lengths_is_refused_and_costs_no_memory(site):
    cases = []
    for m, s in [(0xFFFFFFFF, 0), (8 << 20 | 1, 0), (100, 5000), (0, 0)]:
        head = struct.pack("<II8sIIIQ", 0x184D2A50, (28 + m + s) & 0xFFFFFFFF, b"TIANKONG", 1, m, s, (1 << 63) - 1)
        cases.append((head + b"\0" * 100, f"lengths-{m}-{s}.tkp.zst", ("expected", "found")))
    all_refused(site, cases)
    assert site.service.resident() < 1 << 30


def test_a_file_of_a_hundred_gigabytes_of_nothing_is_refused_and_not_copied(site):
    with serving(site):
        target = site.drop / "sparse.tkp.zst"
        with open(target, "wb") as file:
            file.truncate(100 << 30)
        told = wait_receipt(target, "refused")
        assert "a patch" in told["reason"]
    patch = site.patch(signer=False)
    data = bytearray(patch.path.read_bytes())
    data[28:36] = struct.pack("<Q", 100 << 30)
    with serving(site):
        with open(target, "wb") as file:
            file.write(data)
            file.truncate(100 << 30)
        until(lambda: "a signature" in receipt(target)["reason"])
    target.unlink()


# Who signed


def test_an_unsigned_patch_is_refused_and_taken_when_it_is_signed(site):
    patch = site.patch(signer=False)
    told = refused(site, patch.path, "a signature", "none", "patch sign")
    assert told["signer"] is None
    run(BINARY, "patch", "sign", patch.path, "--key", site.signer.key)
    site.put(patch.path)
    wait_receipt(site.drop / patch.name, "committed", patient=True)


def test_an_unknown_signer_is_refused_and_taken_when_the_key_is_added(site):
    patch = site.patch(signer=site.stranger)
    refused(site, patch.path, "a key of allowed_signers", "add the key")
    site.signer.trust(site.signer, site.stranger)
    site.put(patch.path)
    assert wait_receipt(site.drop / patch.name, "committed", patient=True)["signer"] == "stranger"


def test_an_expired_key_is_refused(site):
    site.signer.trust(site.signer, options='valid-before="20200101Z"')
    refused(site, site.patch().path, site.signer.name, says=("not valid any more",))


def test_a_key_that_is_not_valid_yet_is_refused(site):
    site.signer.trust(site.signer, options='valid-after="29990101Z"')
    refused(site, site.patch().path, site.signer.name, says=("not valid yet",))


def test_a_signature_of_another_namespace_is_refused(site):
    patch = site.patch()
    forged = site.line.forge("namespace.tkp.zst", patch.manifest, patch.frames, namespace="file")
    refused(site, forged, "namespace tiankong-patch", "file")


def test_a_key_that_may_sign_other_things_only_is_refused(site):
    site.signer.trust(site.signer, options='namespaces="git"')
    refused(site, site.patch().path, "namespace", "git")


def test_a_list_of_signers_that_cannot_be_read_refuses_all_and_names_the_line(site):
    good, patch = site.signer.allowed.read_text(), site.patch()
    site.signer.allowed.write_text(good + "office ssh-ed25519\n")
    refused(site, patch.path, "allowed_signers", "line 3")
    site.signer.allowed.unlink()
    (site.drop / patch.name).unlink()
    refused(site, patch.path, "allowed_signers", name="no-list.tkp.zst", says=())
    site.signer.allowed.write_text(good)
    wait_receipt(site.put(patch.path, "no-list.tkp.zst"), "committed", patient=True)


def test_a_signature_over_other_bytes_is_refused(site):
    patch = site.patch()
    manifest = serialized(changed(patch, release="another"))
    forged = models.put_together(site.line.folder / "other-bytes.tkp.zst", manifest, site.signer.sign(patch.manifest), b"".join(patch.frames))
    refused(site, forged, "signature", says=())
    forged = models.put_together(site.line.folder / "no-signature.tkp.zst", patch.manifest, b"\0" * 100, b"".join(patch.frames))
    refused(site, forged, "signature")


# What was signed


@pytest.mark.parametrize("where", ["manifest", "signature", "frame"])
def test_a_byte_that_was_changed_is_refused_and_the_good_file_is_taken_later(site, where):
    patch = site.patch()
    manifest, signature, frames = models.take_apart(patch.path)
    data = bytearray(patch.path.read_bytes())
    # In the manifest a digit of an epoch stays a digit: only the signature can tell.
    at = {"manifest": 36 + manifest.index(b'"epoch":') + 8, "signature": 36 + len(manifest) + len(signature) - 5, "frame": len(data) - 20}[where]
    data[at] ^= 1
    refused(site, bytes(data), {"manifest": "signature", "signature": "signature", "frame": "frame of"}[where], name=patch.name, says=())
    site.put(patch.path)
    wait_receipt(site.drop / patch.name, "committed", patient=True)


def test_frames_that_were_exchanged_under_a_good_signature_are_refused(site):
    patch = site.patch()
    frames, lengths = patch.frames, [len(frame) for frame in patch.frames]
    a, b = next((a, b) for a in range(len(frames)) for b in range(a) if lengths[a] == lengths[b] and frames[a] != frames[b])
    frames[a], frames[b] = frames[b], frames[a]
    forged = models.put_together(site.line.folder / "exchanged.tkp.zst", patch.manifest, site.signer.sign(patch.manifest), b"".join(frames))
    refused(site, forged, "frame of", "the signed digest")


def test_a_patch_made_from_the_format_alone_is_taken(site):
    """The tests below forge; what they forge is right but for what they say."""
    path, target = replacing(site, "good.tkp.zst", BIAS, floats(32, 0.01))
    told = wait_receipt(site.put(path), "committed")
    assert told["to"] == target == site.live()


BOMB = 300 << 20
ZEROS = bytes(283 * 32 * 4)
BOMBS = {
    "a content larger than the frame says": repeated_frame(BOMB, said=len(ZEROS)),
    "a content as large as the frame says": repeated_frame(BOMB),
    "a window of a terabyte": repeated_frame(BOMB, window=0xF8),
    "a frame more": stored_frame(ZEROS) + repeated_frame(BOMB),
    "a skippable frame before": b"\x50\x2a\x4d\x18\4\0\0\0four" + stored_frame(ZEROS),
    "a frame too short": stored_frame(ZEROS[:-1]),
    "a frame that ends early": stored_frame(ZEROS)[:-10],
    "no frame": b"\0" * 1000,
}


def test_signed_bombs_are_refused_and_cost_no_memory(site):
    cases = []
    for name, frame in BOMBS.items():
        path, _ = replacing(site, name.replace(" ", "-") + ".tkp.zst", WORDS, ZEROS, frame=frame)
        cases.append((path, None, (WORDS, "expected", "found")))
    pathlib.Path(f"/proc/{site.service.process.pid}/clear_refs").write_text("5")  # the peak from here on
    before = site.service.resident()
    all_refused(site, cases)
    peak = next(int(line.split()[1]) << 10 for line in open(f"/proc/{site.service.process.pid}/status") if line.startswith("VmHWM"))
    assert peak - before < 100 << 20


def test_a_manifest_that_promises_more_than_the_shape_can_hold_is_refused(site):
    path, _ = replacing(site, "exact.tkp.zst", WORDS, ZEROS, exact=BOMB)
    refused(site, path, "exact", str(BOMB))


def test_a_frame_whose_contents_are_not_what_was_signed_is_refused(site):
    """Right bytes for zstd, wrong tensor: the digest of the result tells."""
    path, _ = replacing(site, "result.tkp.zst", BIAS, floats(32, 0.01), result=floats(32, 0.02))
    refused(site, path, BIAS)


def test_a_target_that_is_not_what_comes_out_is_refused(site):
    patch = site.patch()
    wrong = hashlib.sha256(b"another version").hexdigest()
    refused(site, site.line.forge("target.tkp.zst", changed(patch, target=wrong), patch.frames), "fingerprint", wrong)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
def test_weights_that_are_no_numbers_are_refused_though_signed(site, value):
    path, _ = replacing(site, f"notfinite{value}.tkp.zst", BIAS, floats(31, 0.01) + floats(1, value))
    refused(site, path, BIAS)


NO_JSON = {"twice", "not-utf-8", "deep", "more-after-it", "no-json", "huge"}


def test_a_manifest_with_a_key_too_many_too_few_or_twice_is_refused(site):
    patch = site.patch()
    text, frames = patch.manifest.decode(), patch.frames
    less = changed(patch)
    del less["created"]
    first = json.loads(patch.manifest)["frames"]
    cases = {
        "unknown": (serialized(changed(patch, surprise=1)), "surprise"),
        "unknown-in-a-frame": (serialized(changed(patch, frames=[{**first[0], "surprise": 1}, *first[1:]])), "surprise"),
        "twice": (text.replace('"release":', '"epoch":1,"release":', 1).encode(), "epoch"),
        "missing": (serialized(less), "created"),
        "kind": (serialized(changed(patch, kind="import")), "kind"),
        "wrong-type": (serialized(changed(patch, epoch="1")), "epoch"),
        "negative": (serialized(changed(patch, epoch=-1)), "epoch"),
        "huge": (text.replace(f'"epoch":{patch.epoch}', '"epoch":1e400').encode(), "manifest"),
        "no-json": (b"release: r1", "manifest"),
        "more-after-it": (text.encode() + b"{}", "manifest"),
        "not-utf-8": (text.replace(patch.release, "@@", 1).encode().replace(b"@@", b"\xff\xfe"), "manifest"),
        "deep": (text.replace('"dossier":null', '"dossier":' + '{"a":' * 5000 + "1" + "}" * 5000).encode(), "manifest"),
        "lines-in-the-name": (serialized(changed(patch, release="a\nb")), "release"),
        "tensor-twice": (serialized(changed(patch, frames=[first[0], *first[:-1]])), "frames"),
        "length": (serialized(changed(patch, frames=[{**first[0], "compressed": first[0]["compressed"] + 1}, *first[1:]])), "frames"),
        "no-digest": (serialized(changed(patch, target="../../etc/passwd")), "target"),
        "base-is-target": (serialized(changed(patch, target=patch.base)), "target"),
    }
    made = []
    for name, (manifest, word) in cases.items():
        says = () if name in NO_JSON else ("expected", "found")
        made.append((site.line.forge(f"key-{name}.tkp.zst", manifest, frames), None, ("manifest", word, *says)))
    all_refused(site, made)


def test_tensors_that_the_base_does_not_have_are_refused_and_nothing_is_written_outside(site):
    base, contents, cases, log = site.line.models[site.live()], floats(32, 0.5), [], len(site.service.log)
    patch, there = site.line.patch(base=base), models.read_tensors(base / "model.safetensors")
    for number, name in enumerate(["../../../outside", "/tmp/outside", "outside\0x", "outside\x1b[31m", "pooler.outside.weight"]):
        folder = shutil.copytree(base, site.line.folder / f"other-{patch.epoch}-{number}")
        models.write_tensors(folder / "model.safetensors", {**there, name: ("F32", [32], contents)})
        says, frame = described(name, [32], contents)
        cases.append((site.line.forge(f"other-{number}.tkp.zst", changed(patch, target=fingerprint(folder), frames=[says]), [frame]), None, ("outside", "expected", "found")))
    all_refused(site, cases)
    assert not list(site.folder.rglob("*outside*")) and not os.path.exists("/tmp/outside")
    log = "".join(site.service.log[log:])
    assert "\x1b" not in log and "\0" not in log


def test_a_tensor_of_another_shape_is_refused(site):
    base = site.line.models[site.live()]
    patch, contents = site.line.patch(base=base), floats(284 * 32, 0.01)
    folder = shutil.copytree(base, site.line.folder / f"shape-{patch.epoch}")
    models.write_tensors(folder / "model.safetensors", {**models.read_tensors(base / "model.safetensors"), WORDS: ("F32", [284, 32], contents)})
    says, frame = described(WORDS, [284, 32], contents)
    refused(site, site.line.forge("shape.tkp.zst", changed(patch, target=fingerprint(folder), frames=[says]), [frame]), "283", "284")


# Where it belongs


def test_a_patch_whose_base_has_not_come_waits_for_it_and_is_never_decoded(site):
    first = site.patch()
    second = site.line.patch(base=first.folder)
    damaged = models.put_together(site.line.folder / "later.tkp.zst", *models.take_apart(second.path)[:2], b"\0" * sum(map(len, second.frames)))
    with serving(site):
        target = site.put(damaged)
        told = wait_receipt(target, "waiting-for-base")
        assert told["missing"] == first.target and first.target[:12] in told["reason"]
        site.told("waiting", file="later.tkp.zst")
        assert {"file": "later.tkp.zst", "missing": first.target} in site.service.unix.get("/v1/rollout").json["waiting"]
    site.commit(first)
    # Now it is looked into.
    assert "frame of" in wait_receipt(target, "refused")["reason"]
    site.put(second.path, "later.tkp.zst")
    wait_receipt(target, "committed", patient=True)
    assert site.live() == second.target


def test_a_waiting_patch_is_committed_as_soon_as_its_base_is(site):
    first = site.patch()
    second = site.line.patch(base=first.folder)
    target = site.put(second.path)
    wait_receipt(target, "waiting-for-base")
    site.put(first.path)
    wait_receipt(target, "committed")
    assert site.live() == second.target and site.service.unix.get("/v1/rollout").json["waiting"] == []


def test_a_restart_leaves_waiting_files_waiting(site):
    first = site.patch()
    second = site.line.patch(base=first.folder)
    target = site.put(second.path)
    before = wait_receipt(target, "waiting-for-base")
    head = site.head()
    site.restart()
    until(lambda: [w["file"] for w in site.service.unix.get("/v1/rollout").json["waiting"]] == [target.name])
    with serving(site):
        site.barrier()
        after = receipt(target)
        assert (after["status"], after["missing"], after["identity"]) == ("waiting-for-base", first.target, before["identity"])
        assert len([line for line in site.history(head) if line["body"].get("file") == target.name]) <= 1
    site.commit(first)
    wait_receipt(target, "committed")
    assert site.live() == second.target


def test_more_than_64_files_do_not_wait(site):
    base, patches = site.line.models[site.live()], []
    for number in range(70):
        patches.append(site.line.patch(base=base, name=f"wait-{number:02}.tkp.zst"))
        base = patches[-1].folder
    with serving(site):
        for patch in patches[1:]:
            site.put(patch.path)
        told = [wait_receipt(site.drop / patch.name, {"waiting-for-base", "refused"}) for patch in patches[1:]]
        assert [t["status"] for t in told].count("waiting-for-base") == 64 == len(site.service.unix.get("/v1/rollout").json["waiting"])
        assert all("64" in t["reason"] for t in told if t["status"] == "refused")
        for patch in patches[1:]:
            (site.drop / patch.name).unlink()
        site.barrier()


def test_a_waiting_file_that_is_taken_away_is_forgotten(site):
    first = site.patch()
    second = site.line.patch(base=first.folder)
    target = site.put(second.path)
    wait_receipt(target, "waiting-for-base")
    target.unlink()
    # Nothing tells of a file that goes but another that comes.
    site.barrier()
    until(lambda: site.service.unix.get("/v1/rollout").json["waiting"] == [])
    site.commit(first)
    site.barrier()
    assert site.live() == first.target


def test_nothing_waits_in_an_empty_folder(tmp_path):
    site = Site(tmp_path)
    try:
        first = site.patch()
        target = site.put(site.line.patch(base=first.folder).path)
        wait_receipt(target, "waiting-for-base")
        target.unlink()
        (site.drop / ".something").touch()
        until(lambda: site.service.unix.get("/v1/rollout").json["waiting"] == [], 10)
    finally:
        site.stop()


def test_of_two_patches_for_one_base_the_second_is_refused_and_what_is_live_is_named(site):
    first, second = site.patch(), site.patch()
    site.commit(first)
    refused(site, second.path, first.target[:12])
    told = wait_receipt(site.put(second.path, "fork-again.tkp.zst"), "duplicate")
    assert told["identity"] == second.identity


def test_of_two_patches_for_one_base_at_once_one_goes_live(site):
    pair = [site.patch(), site.patch()]
    for patch in pair:
        site.put(patch.path)
    told = [wait_receipt(site.drop / patch.name, {"committed", "refused"}) for patch in pair]
    assert sorted(t["status"] for t in told) == ["committed", "refused"]
    assert site.live() == next(patch.target for patch, t in zip(pair, told) if t["status"] == "committed")


def test_an_older_epoch_is_refused_as_a_replay(site):
    first = site.patch()
    site.commit(first)
    for epoch in (first.epoch, first.epoch - 1, 1):
        patch = site.patch(epoch=epoch)
        refused(site, patch.path, "epoch", str(first.epoch), str(epoch))
        told = wait_receipt(site.put(patch.path, f"replay-{epoch}-again.tkp.zst"), "duplicate")
        assert told["identity"] == patch.identity


def test_a_genuine_older_patch_dropped_again_is_a_duplicate(site):
    first = site.patch()
    site.commit(first)
    second = site.patch()
    site.commit(second)
    with serving(site):
        told = wait_receipt(site.put(first.path, "older.tkp.zst"), "duplicate")
        assert told["identity"] == first.identity


def test_an_epoch_beyond_the_jump_is_refused_and_moves_no_floor(site):
    ahead = site.patch()
    far = site.patch(epoch=ahead.epoch + 2000)
    refused(site, far.path, "epoch", str(far.epoch))
    site.commit(ahead)


def test_a_patch_of_another_line_is_refused(site):
    patch = site.patch()
    other = hashlib.sha256(b"another line").hexdigest()
    refused(site, site.line.forge("line.tkp.zst", changed(patch, line=other), patch.frames), "line", other[:12])


def test_the_quarantine_holds_a_copy_of_the_newest_twenty(site):
    with serving(site):
        names = [f"quarantine-{i}.tkp.zst" for i in range(25)]
        contents = {name: os.urandom(200) for name in names}
        for part in (names[:5], names[5:]):
            for target in [site.put(contents[name], name) for name in part]:
                wait_receipt(target, "refused")
        site.idle()
    kept = [path.read_bytes() for path in sorted((site.state / "quarantine").iterdir())]
    assert 1 <= len(kept) <= 20 and all(contents[name] in kept for name in names[5:])


# The machine


def test_a_read_only_drop_folder_gets_no_receipt_and_its_patch_is_applied(tmp_path):
    with small_disk(tmp_path / "drop", "16m") as drop:
        site = Site(tmp_path, drop=drop)
        try:
            patch = site.patch()
            site.stop()
            site.put(patch.path)
            run("mount", "-o", "remount,ro", drop)
            site.start()
            until(lambda: site.live() == patch.target)
            site.told("committed", identity=patch.identity)
            until(lambda: "Read-only file system" in site.log or "EROFS" in site.log, what=lambda: site.log)
            assert receipt(drop / patch.name) is None and len([line for line in site.service.log if "Read-only" in line]) < 20
            site.idle()
        finally:
            site.stop()


@pytest.mark.parametrize("left", [300_000, 0])
def test_a_full_disk_leaves_the_old_version_serving_and_is_recovered_from(tmp_path, left):
    with small_disk(tmp_path / "state", "16m") as state:
        site = Site(tmp_path, drop=tmp_path / "drop")
        try:
            site.commit(site.patch())
            snapshot = site.status()["snapshot"]["version"]
            patch = site.patch()
            ballast = fill_disk(state, left)
            with serving(site):
                target = site.put(patch.path)
                before = picture(target)
                told = until(lambda: (receipt(target) or {}).get("reason") and receipt(target), what=lambda: (receipt(target), site.log[-2000:]))
                assert told["status"] != "committed" and ("space" in told["reason"] or "full" in told["reason"]), told
                assert picture(target) == before
                assert site.status()["snapshot"]["version"] == snapshot
            ballast.unlink()
            site.put(patch.path)
            wait_receipt(target, "committed", patient=True)
            assert site.live() == patch.target
            site.restart()
            assert site.live() == patch.target and site.run("history", "--verify").returncode == 0
        finally:
            site.stop()


@pytest.mark.parametrize("where", ["drop", "state/drop"])
def test_a_start_with_a_full_disk_serves(tmp_path, where):
    with small_disk(tmp_path / "state", "16m") as state:
        site = Site(tmp_path, drop=tmp_path / where)
        try:
            patch = site.patch()
            site.stop()
            site.put(patch.path)
            ballast = fill_disk(state)
            site.start()
            with serving(site):
                assert site.live() == site.base
                until(lambda: "held" in site.log or "space" in site.log, what=lambda: site.log)
            ballast.unlink()
            site.put(patch.path)
            wait_receipt(site.drop / patch.name, "committed", patient=True)
        finally:
            site.stop()

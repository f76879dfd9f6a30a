"""Make ready the engines that peers.py times, converting a model for each: prepare_peers.py MODEL_DIR WORK [--only a,b]

MODEL_DIR is a Hugging Face folder of a BertForMaskedLM (make_random_model.py writes one of bert-base-chinese's shape).
Each conversion becomes a folder of WORK and is left alone when it is there already. Needs torch, transformers, numpy,
onnx, onnxruntime, openvino, nncf and ctranslate2; a conversion that fails is reported, the others go on.

Every graph answers what Tiankong answers: fill_mask(input_ids[B,S], attention_mask[B,S], token_type_ids[B,S],
mask_pos[B]) -> logits[B,V], the head running at the blanks alone. CTranslate2 has no such head: encoder only.
Here is all that is to be known of the peers' packages; peers.py loads what it times through `load`."""

import argparse
import collections
import json
import pathlib
import shutil
import sys
import time
import traceback
import warnings

import numpy as np

INPUTS = ["input_ids", "attention_mask", "token_type_ids", "mask_pos"]
FIRST, LAST, BLANK = 101, 102, 103  # [CLS], [SEP], [MASK]
CALIBRATION = 100  # texts that nncf.quantize sees: random as those asked are, under other seeds


def questions(batch, tokens, seed=0):
    """INPUTS of random texts, each with one blank at a random place."""
    random = np.random.default_rng(seed + 1000 * batch + tokens)
    ids = random.integers(106, 20000, (batch, tokens)).astype(np.int64)
    places = random.integers(1, tokens - 1, batch).astype(np.int64)
    ids[:, 0], ids[:, -1], ids[np.arange(batch), places] = FIRST, LAST, BLANK
    return ids, np.ones_like(ids), np.zeros_like(ids), places


def fill_mask_module(model_dir):
    """The model with its head at mask_pos alone. Attention is eager: the pattern that the optimizers know to fuse."""
    import torch
    from transformers import BertForMaskedLM

    class FillMask(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = BertForMaskedLM.from_pretrained(model_dir, attn_implementation="eager").float().eval()

        def forward(self, input_ids, attention_mask, token_type_ids, mask_pos):
            hidden = self.model.bert(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).last_hidden_state
            index = mask_pos.view(-1, 1, 1).expand(-1, 1, hidden.shape[-1])
            return self.model.cls(torch.gather(hidden, 1, index))[:, 0]  # squeeze(1) would be traced into an If

    return FillMask().eval()


# --- ONNX


def onnx_plain(model_dir, work, out):
    """The graph as exported. By tracing: the fusions of ONNX Runtime look for this exporter's patterns."""
    import torch

    axes = {name: {0: "B", 1: "S"} for name in INPUTS[:3]} | {"mask_pos": {0: "B"}, "logits": {0: "B"}}
    example = tuple(torch.from_numpy(array) for array in questions(2, 24))
    with torch.no_grad():
        torch.onnx.export(
            fill_mask_module(model_dir), example, str(out / "model.onnx"), input_names=INPUTS,
            output_names=["logits"], dynamic_axes=axes, opset_version=17, dynamo=False, do_constant_folding=True,
        )  # fmt: skip


def fuse(model_dir, work, out, separate=False):
    """Attention, GELU and LayerNorm fused as ONNX Runtime's own optimizer does it for BERT."""
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    config = json.loads((model_dir / "config.json").read_text())
    options = FusionOptions("bert")
    options.use_multi_head_attention = separate
    model = optimizer.optimize_model(
        str(work / "onnx/model.onnx"), model_type="bert", num_heads=config["num_attention_heads"],
        hidden_size=config["hidden_size"], opt_level=1, optimization_options=options, use_gpu=False,
    )  # fmt: skip
    model.save_model_to_file(str(out / "model.onnx"))
    return {kind: count for kind, count in model.get_fused_operator_statistics().items() if count}


def fuse_separate(model_dir, work, out):
    """Fused, but Q, K and V stay products of their own, so that MatMulNBits can take them."""
    return fuse(model_dir, work, out, separate=True)


def onnx_int8(work, out, per_channel):
    """Dynamic int8: weights now, activations as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        str(work / "onnx_fused/model.onnx"), str(out / "model.onnx"), per_channel=per_channel, reduce_range=False,
        weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True, "DefaultTensorType": 1},
    )  # fmt: skip
    return operators(out / "model.onnx")


def onnx_nbits(work, out, bits):
    """Weights of few bits in blocks of 32, the activations int8 while multiplied (accuracy level 4)."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    model = onnx.load(work / "onnx_separate/model.onnx")
    quantizer = MatMulNBitsQuantizer(model, bits=bits, block_size=32, is_symmetric=True, accuracy_level=4)
    quantizer.process()
    quantizer.model.save_model_to_file(str(out / "model.onnx"), False)
    return operators(out / "model.onnx")


def operators(path):
    """The kinds of product in a graph: what was quantized and what was not."""
    import onnx

    counts = collections.Counter(node.op_type for node in onnx.load(path).graph.node)
    return {kind: count for kind, count in counts.items() if "Mat" in kind or "Attention" in kind or "Gemm" in kind}


# --- OpenVINO


def openvino_model(work):
    import openvino

    return openvino.Core().read_model(work / "onnx/model.onnx")


def save_openvino(model, out):
    import openvino

    openvino.save_model(model, out / "model.xml", compress_to_fp16=False)


def openvino_compressed(work, out, mode, **options):
    """Weights of few bits; the plugin quantizes activations in groups as they come, if it is told a group's size."""
    import nncf

    mode = getattr(nncf.CompressWeightsMode, mode)
    save_openvino(nncf.compress_weights(openvino_model(work), mode=mode, **options), out)


def openvino_quantized(model_dir, work, out):
    """Post-training quantization as NNCF recommends it for transformers: static, calibrated."""
    import nncf

    texts = [dict(zip(INPUTS, questions(1, 24, seed=10**9 + i))) for i in range(CALIBRATION)]
    model = nncf.quantize(
        openvino_model(work), nncf.Dataset(texts), model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED, subset_size=CALIBRATION,
    )  # fmt: skip
    save_openvino(model, out)


# --- CTranslate2


def bert_alone(model_dir, work, out):
    """The encoder without its head: what CTranslate2's converter can take."""
    from transformers import BertModel

    BertModel.from_pretrained(model_dir).save_pretrained(out)
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(model_dir / name, out)
    config = json.loads((out / "config.json").read_text())
    config["position_embedding_type"] = "absolute"  # the converter asks for it, newer transformers leave it out
    (out / "config.json").write_text(json.dumps(config))


def ctranslate2_model(work, out, quantization):
    import ctranslate2

    converter = ctranslate2.converters.TransformersConverter(str(work / "bert_alone"))
    converter.convert(str(out), quantization=quantization, force=True)


# --- all of them

# Name of the conversion and of its folder: (which one it starts from, how)
CONVERSIONS = {
    "onnx": (None, onnx_plain),
    "onnx_fused": ("onnx", fuse),
    "onnx_separate": ("onnx", fuse_separate),
    "onnx_int8": ("onnx_fused", lambda model_dir, work, out: onnx_int8(work, out, per_channel=False)),
    "onnx_int8_channel": ("onnx_fused", lambda model_dir, work, out: onnx_int8(work, out, per_channel=True)),
    "onnx_nbits8": ("onnx_separate", lambda model_dir, work, out: onnx_nbits(work, out, bits=8)),
    "onnx_nbits4": ("onnx_separate", lambda model_dir, work, out: onnx_nbits(work, out, bits=4)),
    "ov_fp32": ("onnx", lambda model_dir, work, out: save_openvino(openvino_model(work), out)),
    "ov_int8w": ("onnx", lambda model_dir, work, out: openvino_compressed(work, out, "INT8_SYM")),
    "ov_int4w": ("onnx", lambda model_dir, work, out: openvino_compressed(work, out, "INT4_SYM", group_size=64)),
    "ov_int8": ("onnx", openvino_quantized),
    "bert_alone": (None, bert_alone),
    "ct2_fp32": ("bert_alone", lambda model_dir, work, out: ctranslate2_model(work, out, "float32")),
    "ct2_int8": ("bert_alone", lambda model_dir, work, out: ctranslate2_model(work, out, "int8")),
}


def prepare(model_dir, work, names=CONVERSIONS):
    """Makes what is missing and what that starts from. Returns the names that failed."""
    failed = []
    for name in names:
        if not (work / name).exists():
            start, convert = CONVERSIONS[name]
            if (start and prepare(model_dir, work, [start])) or not make(name, convert, model_dir, work):
                failed.append(name)
    return failed


def make(name, convert, model_dir, work):
    """A folder, renamed when it is whole, as an interrupted conversion must not be taken for one. False if it fails."""
    unfinished = work / (name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    started = time.perf_counter()
    try:
        facts = convert(model_dir, work, unfinished) or ""
    except Exception:
        traceback.print_exc()
        shutil.rmtree(unfinished, ignore_errors=True)
        return False
    unfinished.rename(work / name)
    size = sum(file.stat().st_size for file in (work / name).iterdir()) / 1e6
    print(f"{name}: {time.perf_counter() - started:.1f} s, {size:.0f} MB {facts}", file=sys.stderr, flush=True)
    return True


# --- loading


def torch_engine(folder, threads, kind="fp32"):
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    model = transformers.BertForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    if kind == "bf16":
        model = model.to(torch.bfloat16)
    if kind == "int8dyn":
        torch.backends.quantized.engine = "onednn"
        model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)

    def forward(ids, types, places):
        hidden = model.bert(input_ids=ids, token_type_ids=types).last_hidden_state  # all rows are full: no mask
        return model.cls(hidden[torch.arange(len(ids)), places])

    if kind == "compiled":
        import torch._inductor.config

        torch._inductor.config.freezing = True
        forward = torch.compile(forward, dynamic=True)

    def ask(ids, mask, types, places):
        with torch.no_grad():
            return forward(*map(torch.from_numpy, (ids, types, places))).float().numpy()

    return ask


def onnxruntime_engine(folder, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    narrow = {entry.name for entry in session.get_inputs() if entry.type == "tensor(int32)"}  # fusing narrows some

    def ask(*arrays):
        named = zip(INPUTS, arrays)
        return session.run(None, {name: a.astype(np.int32) if name in narrow else a for name, a in named})[0]

    return ask


def openvino_engine(folder, threads, precision="f32", group=None):
    import openvino

    options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
    options["INFERENCE_PRECISION_HINT"] = precision
    if group:
        options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = str(group)
    request = openvino.compile_model(folder / "model.xml", "CPU", options).create_infer_request()
    return lambda *arrays: request.infer(dict(zip(INPUTS, arrays)), share_inputs=True)[0]


def ctranslate2_engine(folder, threads, compute):
    import ctranslate2

    encoder = ctranslate2.Encoder(str(folder), intra_threads=threads, inter_threads=1, compute_type=compute)

    def ask(ids, *_):
        hidden = encoder.forward_batch(ids.tolist()).last_hidden_state
        return np.asarray(hidden)  # asynchronous until looked at

    return ask


# Name: (the kind of engine it is compared with, how it is loaded, from which folder, further arguments)
PEERS = {
    "ov_int8": ("int8", openvino_engine, "ov_int8", {}),
    "ov_int8_bf16": ("int8", openvino_engine, "ov_int8", {"precision": "bf16"}),
    "ov_int8w": ("int8", openvino_engine, "ov_int8w", {}),
    "ov_int8w_g128": ("int8", openvino_engine, "ov_int8w", {"group": 128}),
    "ov_int4w": ("int4", openvino_engine, "ov_int4w", {}),
    "ov_fp32": ("fp32", openvino_engine, "ov_fp32", {}),
    "ov_bf16": ("bf16", openvino_engine, "ov_fp32", {"precision": "bf16"}),
    "ort_int8": ("int8", onnxruntime_engine, "onnx_int8", {}),
    "ort_int8_channel": ("int8", onnxruntime_engine, "onnx_int8_channel", {}),
    "ort_nbits8": ("int8", onnxruntime_engine, "onnx_nbits8", {}),
    "ort_nbits4": ("int4", onnxruntime_engine, "onnx_nbits4", {}),
    "ort_fp32": ("fp32", onnxruntime_engine, "onnx", {}),
    "ort_fused": ("fp32", onnxruntime_engine, "onnx_fused", {}),
    "torch_fp32": ("fp32", torch_engine, None, {}),
    "torch_compiled": ("fp32", torch_engine, None, {"kind": "compiled"}),
    "torch_bf16": ("bf16", torch_engine, None, {"kind": "bf16"}),
    "torch_int8dyn": ("int8", torch_engine, None, {"kind": "int8dyn"}),
    "ct2_fp32": ("encoder only", ctranslate2_engine, "ct2_fp32", {"compute": "float32"}),
    "ct2_int8": ("encoder only", ctranslate2_engine, "ct2_int8", {"compute": "int8_float32"}),
}


def load(peer, model_dir, work, threads):
    """A function of INPUTS, as arrays, that answers logits[B,V] (or hidden states, encoder only)."""
    _, loader, folder, arguments = PEERS[peer]
    return loader(work / folder if folder else model_dir, threads, **arguments)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--only", default=",".join(CONVERSIONS))
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    failures = prepare(options.model, options.work, options.only.split(","))
    sys.exit(f"failed: {', '.join(failures)}" if failures else 0)

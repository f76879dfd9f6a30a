"""The reference answers in this folder, and the tiny models they belong to: make_fixtures.py MODEL_DIR OUT_DIR

MODEL_DIR is the default model's folder (packaging/default-model). Needs torch, transformers, safetensors (PyPI).
Running it again on the same versions writes the same bytes. Every text was written for the purpose.

tokens.jsonl    {"text","lower","strip_accents"?,"tokenize_chinese_chars"?,"ids","offsets"} by BertTokenizerFast over the
                default model's vocabulary; offsets in Unicode scalars, special tokens included
tiny-*/         models of random weights in Hugging Face's layout, each with one trait that a loader can get wrong
logits.jsonl    their logits: {"model","text","ids","blanks":[{"position","top","logsumexp","probe"}]}, exact fp32
fill.jsonl      the default model's answers: {"text","ids","blanks":[{"position","top":[[id,piece,probability]]}]}
pipeline.jsonl  what transformers.pipeline("fill-mask") returns: {"inputs","parameters","answer"}
"""
import json, os, random, shutil, sys
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast, pipeline

model_dir, out = sys.argv[1:3]
torch.set_num_threads(1)
random.seed(2026)
torch.manual_seed(2026)

SENTENCES = """画龙点[MASK]
床前明月光，疑是地[MASK]霜。
春风又绿江南[MASK]
温故而知[MASK]，可以为师矣。
学而不思则[MASK]，思而不学则[MASK]。
订单一直没[MASK]，请帮我查一下。
这个数据明显[MASK]理
今天下午三点在二楼会议[MASK]开会
请把窗户[MASK]上，外面下雨了
他的意见很有[MASK]理，大家都同[MASK]
患者需要[MASK]院观察两天
服务器重[MASK]之后恢复正[MASK]
快递已经[MASK]到门口
请在表格里填写姓[MASK]和电[MASK]
[MASK]
[MASK][MASK]
[MASK][MASK][MASK][MASK]
三人行，必有我[MASK]焉
明天早上记得带身份[MASK]
COVID-19[MASK]苗已经到货""".split("\n")

UNICODE = ["", " ", "\t\n\r", "[MASK]", "[mask]", "[ MASK ]", "[MASK", "MASK]", "x[MASK]y", "[MASK]x[MASK]", "[CLS]早[SEP]晚[PAD]",
    "[UNK]", "[unused3]", "[[MASK]]", "[MASK][MASK]。[MASK]", "PD-L1检测", "COVID-19", "iPad Pro 13", "2.71828", "９８７ＸＹＺ", "④⑤⑥", "㈲", "ﬂ", "Ｂ",
    "ñ", "n\u0303", "Ångström", "ß", "ẞ", "İzmir", "ΣΊΣΥΦΟΣ", "Ёлка", "ありがとう", "ガギグ", "か\u3099", "ｶﾞｷﾞ", "안녕하세요", "\u1112\u1161\u11ab", "𡃁仔",
    "\U0002b740\U0002b820\U0002ceb0\U00030000", "\uf900\uf9fe\ufa0e", "🎉🎊", "👩🏽‍🚀", "🇨🇳", "\u200b零宽\u200d", "甲\u00a0乙", "全\u3000角", "a\u0000b", "\ufffd",
    "\u202e反", "soft\u00adhyphen", "变\ufe0f体", "\ue000私", "\u0378未", "\ufdd0\U0001ffff", "\u2028", "丙\u2028丁", "\u0085", "\x7f", "\x1b[0m", "z" * 100, "z" * 101, "中" * 70 + "z" * 101,
    "pneumonoultramicroscopicsilicovolcanoconiosis", "it's don't we've", "https://例子.测试/a?b=c&d=%20", "me@example.org", "C# F++", "a_b-c~d", "《诗经》“关关雎鸠”", "……——～", "￥9.90 €5 £3",
    "←→↑↓", "50％", "〇一二", "々〆〻", "㐀㐁", "ㄅㄆㄇ", "ก็", "नमस्ते", "שָׁלוֹם", "مُحَمَّد", "\u0301", "a\u0301\u0302\u0303b", "Ⅳ", "⅓", "ª", "ǅ", "Ⓩ", "㊙", "##", "##二", "a##b", "ﷺ", "\u1734\u171e", "\u2e43\u061d", "ᢅᢆ", "\U000111c9\u166d", "K", "Å", "ſ", "ĳ", "\U0001d400"]

VOCABULARY = BertTokenizerFast.from_pretrained(model_dir).get_vocab()

def write(name, rows):
    with open(f"{out}/{name}", "w", encoding="utf8", newline="\n") as f:
        for row in rows:
            f.write(json.dumps(row, ensure_ascii=False) + "\n")

def tokens():
    texts = SENTENCES + UNICODE + ["一" * 300, "春眠不觉晓" * 20]
    for options in ({"lower": True}, {"lower": False}, {"lower": True, "strip_accents": False}, {"lower": False, "strip_accents": True},
                    {"lower": True, "tokenize_chinese_chars": False}):
        keywords = {k: v for k, v in options.items() if k != "lower"}
        tokenizer = BertTokenizerFast.from_pretrained(model_dir, do_lower_case=options["lower"], **keywords)
        for text in texts:
            e = tokenizer(text, return_offsets_mapping=True, truncation=False, verbose=False)
            yield {"text": text, **options, "ids": e["input_ids"], "offsets": e["offset_mapping"]}

def pieces():
    """Special pieces, then what the sentences need, then some of everything: small, for weights go by its length."""
    needed = {t for s in SENTENCES for t in BertTokenizerFast.from_pretrained(model_dir).tokenize(s)}
    ordered = sorted(VOCABULARY, key=VOCABULARY.get)
    rest = [p for p in ordered if p not in needed and not p.startswith("[")]
    special = [p for p in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]
    return special + sorted(needed - set(special)) + random.sample(rest, 150)

TRAITS = {  # what differs from a plain tied F32 model
    "tiny-tied": dict(),
    "tiny-untied-f16": dict(tie_word_embeddings=False, hidden_act="gelu_new"),
    "tiny-bf16-relu": dict(hidden_act="relu", layer_norm_eps=1e-5),
    "tiny-sharded": dict(num_hidden_layers=3, hidden_size=48, num_attention_heads=3, intermediate_size=100),
    "tiny-old-names": dict(),
    "tiny-tokenizer-json": dict(num_attention_heads=4),
    "tiny-capitals": dict(),
}

def build(name, over):
    vocabulary = pieces() + (["PD", "##L", "iPad"] if name == "tiny-capitals" else [])
    config = BertConfig(**{**dict(vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, layer_norm_eps=1e-12, pad_token_id=0), **over})
    model = BertForMaskedLM(config).eval()
    with torch.no_grad():
        for _, p in model.named_parameters():
            p.add_(torch.randn_like(p) * (0.02 if p.dim() == 1 else 0.15))
    dtype = torch.float16 if "f16" in name and "bf16" not in name else torch.bfloat16 if "bf16" in name else torch.float32
    model = model.to(dtype)
    folder = f"{out}/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    model.save_pretrained(folder, safe_serialization=True, max_shard_size="60KB" if name == "tiny-sharded" else "1GB")
    options = {"do_lower_case": name != "tiny-capitals"}
    if name == "tiny-tokenizer-json":
        options.update(do_lower_case=False, strip_accents=True, tokenize_chinese_chars=False)
    with open(f"{folder}/vocab.txt", "w", encoding="utf8", newline="\n") as f:
        f.write("\n".join(vocabulary) + "\n")
    tokenizer = BertTokenizerFast(vocab_file=f"{folder}/vocab.txt", vocab=f"{folder}/vocab.txt", **options)
    if name == "tiny-tokenizer-json":
        tokenizer.save_pretrained(folder)
        os.path.exists(f"{folder}/vocab.txt") and os.remove(f"{folder}/vocab.txt")
    else:
        with open(f"{folder}/tokenizer_config.json", "w") as f:
            json.dump({**options, "model_max_length": 64, "tokenizer_class": "BertTokenizer"}, f)
    if name == "tiny-old-names":
        age(folder, config)
    return model.float(), tokenizer

def age(folder, config):
    """As checkpoints of 2018 have it: gamma and beta, no prefix, pooler, next-sentence head, a decoder stored though tied."""
    tensors, old = load_file(f"{folder}/model.safetensors"), {}
    for key, tensor in tensors.items():
        key = key.removeprefix("bert.").replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        old[key] = tensor.clone()
    h = config.hidden_size
    old["cls.predictions.decoder.weight"] = old["embeddings.word_embeddings.weight"].clone()
    old["cls.predictions.decoder.bias"] = old["cls.predictions.bias"].clone()
    old["embeddings.position_ids"] = torch.arange(config.max_position_embeddings)[None]
    old["pooler.dense.weight"], old["pooler.dense.bias"] = torch.zeros(h, h), torch.zeros(h)
    old["cls.seq_relationship.weight"], old["cls.seq_relationship.bias"] = torch.zeros(2, h), torch.zeros(2)
    save_file(old, f"{folder}/model.safetensors", metadata={"format": "pt"})

def logits():
    for name, over in TRAITS.items():
        model, tokenizer = build(name, over)
        for text in SENTENCES + ["一" * 30 + "[MASK]" + "二" * 31, "[MASK]" * 8, "PD-L1[MASK]iPad"]:
            ids = tokenizer(text, return_tensors="pt", verbose=False).input_ids
            with torch.no_grad():
                rows = model(ids).logits[0]
            probe = random.sample(range(rows.shape[1]), 10)
            blanks = []
            for position in (ids[0] == tokenizer.mask_token_id).nonzero().flatten().tolist():
                value, index = rows[position].topk(10)
                blanks.append({"position": position, "top": [[int(i), round(float(v), 6)] for i, v in zip(index, value)],
                    "logsumexp": round(float(torch.logsumexp(rows[position], 0)), 6), "probe": [[i, round(float(rows[position, i]), 6)] for i in probe]})
            yield {"model": name, "text": text, "ids": ids[0].tolist(), "blanks": blanks}

def fill():
    tokenizer, model = BertTokenizerFast.from_pretrained(model_dir), BertForMaskedLM.from_pretrained(model_dir).float().eval()
    for text in SENTENCES:
        ids = tokenizer(text, return_tensors="pt").input_ids
        with torch.no_grad():
            p = model(ids).logits[0].softmax(-1)
        blanks = []
        for position in (ids[0] == tokenizer.mask_token_id).nonzero().flatten().tolist():
            value, index = p[position].topk(10)
            blanks.append({"position": position, "top": [[int(i), tokenizer.convert_ids_to_tokens(int(i)), round(float(v), 7)] for i, v in zip(index, value)]})
        yield {"text": text, "ids": ids[0].tolist(), "blanks": blanks}

def pipelines():
    model = BertForMaskedLM.from_pretrained(model_dir).float().eval()
    ask = pipeline("fill-mask", model=model, tokenizer=BertTokenizerFast.from_pretrained(model_dir))
    for inputs, parameters in [
        ("画龙点[MASK]", {}), ("画龙点[MASK]", {"top_k": 2}), ("学而不思则[MASK]，思而不学则[MASK]。", {"top_k": 3}),
        (["画龙点[MASK]", "温故而知[MASK]"], {"top_k": 2}), ("画龙点[MASK]", {"targets": ["睛", "石"]}), ("画龙点[MASK]", {"targets": "凤"}),
        ("it's a [MASK], isn't it?", {"top_k": 3}), ("COVID-19[MASK]苗 .", {"top_k": 2}), ("[MASK]", {"top_k": 12}),
        ("画龙点[MASK]", {"targets": ["石", "睛", "凤", "睛"], "top_k": 2}),
        (["学而不思则[MASK]，思而不学则[MASK]。", "画龙点[MASK]"], {"top_k": 2}), (["画龙点[MASK]"], {"top_k": 1})]:
        yield {"inputs": inputs, "parameters": parameters, "answer": ask(inputs, **parameters)}

os.makedirs(out, exist_ok=True)
for name, rows in (("tokens", tokens), ("logits", logits), ("fill", fill), ("pipeline", pipelines)):
    write(name + ".jsonl", rows())

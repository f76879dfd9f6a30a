"""How much eight bits lose by the size of their groups: groups.py MODEL_DIR   (torch, transformers)

Emulates the fast path in PyTorch: weights and activations of the encoder's dense layers rounded to codes with a scale for
each group of inputs, the decoder's weights too, the 32 best logits scored anew from the exact weights. 200 random texts
of 24 tokens; 1 − cosine of the logits with fp32's, and how often the first is the same."""
import sys
import torch
from transformers import BertForMaskedLM

torch.set_grad_enabled(False)
model = BertForMaskedLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear) and "encoder" in name}
weights = {name: layer.weight.data.clone() for name, layer in layers.items()}
decoder = model.cls.predictions.decoder
generator = torch.Generator().manual_seed(1)
ids = torch.randint(106, 20000, (200, 24), generator=generator)
blanks = torch.randint(1, 23, (200,), generator=generator)
ids[:, 0], ids[:, -1], ids[torch.arange(200), blanks] = 101, 102, 103


def rounded(x, group, zero):
    """Codes 0…255 with a fixed zero; group 0: one scale for all inputs."""
    group = min(group or x.shape[-1], x.shape[-1])
    parts = x.reshape(*x.shape[:-1], -1, group)
    above, below = parts.amax(-1, keepdim=True).clamp_min(0), parts.amin(-1, keepdim=True).clamp_max(0)
    scale = torch.maximum(above / (255 - zero), -below / zero).clamp_min(1e-20)
    return (((parts / scale).round() + zero).clamp(0, 255) - zero).mul(scale).reshape(x.shape)


def states():
    hidden = torch.cat([model.bert(input_ids=part).last_hidden_state for part in ids.split(50)])
    return model.cls.predictions.transform(hidden[torch.arange(200), blanks])


def logits(weight_group, activation_group, zero_after_gelu):
    hooks = []
    for name, layer in layers.items():
        layer.weight.data = rounded(weights[name], weight_group, 128)
        zero = zero_after_gelu if name.endswith("output.dense") and "attention" not in name else 128
        hooks.append(layer.register_forward_pre_hook(lambda _, x, zero=zero: (rounded(x[0], activation_group, zero),)))
    state = states()
    for hook in hooks:
        hook.remove()
    fast, exact = torch.nn.functional.linear(state, rounded(decoder.weight, weight_group, 128), decoder.bias), decoder(state)
    best = fast.topk(32).indices
    return fast.scatter(1, best, exact.gather(1, best))


reference = decoder(states())
print("| weights | activations | zero after GELU | 10⁶ · (1 − cosine) | first the same |\n|---|---|---|---|---|")
for group in [(0, 0, 128), (0, 0, 32), (128, 128, 128), (128, 128, 32), (64, 64, 128), (64, 64, 32), (32, 32, 32)]:
    found = logits(*group)
    loss = 1 - torch.nn.functional.cosine_similarity(reference, found).mean().item()
    same = (found.argmax(1) == reference.argmax(1)).float().mean().item()
    names = [str(size) if size else "all" for size in group[:2]]
    print(f"| {names[0]} | {names[1]} | {group[2]} | {1e6 * loss:.0f} | {same:.3f} |", flush=True)

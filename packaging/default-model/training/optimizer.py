"""Muon for matrices inside the layers (Jordan et al. 2024; scaled to AdamW's step as in Moonlight, Liu et al. 2025),
AdamW for the rest."""
import torch
import torch.distributed as dist


def orthogonal(g, steps=5):
    """The nearest semi-orthogonal matrix, by a quintic Newton-Schulz iteration; bf16 is enough."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.t()
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        s = x @ x.t()
        x = a * x + (b * s + c * s @ s) @ x
    return (x.t() if tall else x).float()


class Muon(torch.optim.Optimizer):
    def __init__(self, parameters, lr, rank, ranks, momentum=0.95, weight_decay=0.05):
        self.rank, self.ranks = rank, ranks
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            updates = self.updates(group)
            at = 0
            for p in group["params"]:
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(updates[at:at + p.numel()].view_as(p), alpha=-group["lr"] * 0.2 * max(p.shape) ** 0.5)
                at += p.numel()

    def updates(self, group):
        """All updates end to end; each process works out its share of the matrices."""
        flat, at = torch.zeros(sum(p.numel() for p in group["params"])), 0
        for i, p in enumerate(group["params"]):
            state = self.state[p]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(p)
            state["momentum"].lerp_(p.grad, 1 - group["momentum"])
            if i % self.ranks == self.rank:
                update = orthogonal(p.grad.lerp(state["momentum"], group["momentum"]))
                flat[at:at + p.numel()] = update.reshape(-1)
            at += p.numel()
        if self.ranks > 1:
            dist.all_reduce(flat)
        return flat


def optimizers(model, rate, rank, ranks):
    inner = [p for n, p in model.named_parameters() if p.dim() == 2 and n.startswith("layers.")]
    inner_ids = {id(p) for p in inner}
    rest = [p for p in model.parameters() if id(p) not in inner_ids]
    return [Muon(inner, rate, rank, ranks),
            torch.optim.AdamW([{"params": [p for p in rest if p.dim() > 1], "weight_decay": 0.01},
                               {"params": [p for p in rest if p.dim() <= 1], "weight_decay": 0.0}],
                              lr=rate, betas=(0.9, 0.98), fused=True)]

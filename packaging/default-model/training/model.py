"""BERT for masked language modelling (Devlin et al. 2018), as BertForMaskedLM computes it: post-norm, erf GELU, tied decoder.

Legend: B rows, T pieces a row, H hidden, A heads, V vocabulary, M masked places.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Layer(nn.Module):
    def __init__(self, hidden, heads, ffn):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(hidden, hidden) for _ in range(4))
        self.attention_norm = nn.LayerNorm(hidden, eps=1e-12)
        self.wide, self.narrow = nn.Linear(hidden, ffn), nn.Linear(ffn, hidden)
        self.ffn_norm = nn.LayerNorm(hidden, eps=1e-12)

    def forward(self, x, attended):                                      # x [B, T, H]
        B, T, H = x.shape
        q, k, v = (part(x).view(B, T, self.heads, -1).transpose(1, 2) for part in (self.query, self.key, self.value))
        # Written out: the fused kernel's gradient in bf16 took a third of a step here.
        scores = q @ k.transpose(-2, -1) * (1 / math.sqrt(H / self.heads))
        mixed = torch.softmax(scores if attended is None else scores + attended, -1) @ v
        x = self.attention_norm(x + self.output(mixed.transpose(1, 2).reshape(B, T, H)))
        return self.ffn_norm(x + self.narrow(F.gelu(self.wide(x))))


PLACES = (("attention.self.query", "query"), ("attention.self.key", "key"), ("attention.self.value", "value"),
          ("attention.output.dense", "output"), ("attention.output.LayerNorm", "attention_norm"),
          ("intermediate.dense", "wide"), ("output.dense", "narrow"), ("output.LayerNorm", "ffn_norm"))
OUTSIDE = (("bert.embeddings.word_embeddings", "words"), ("bert.embeddings.position_embeddings", "places"),
           ("bert.embeddings.token_type_embeddings", "types"), ("bert.embeddings.LayerNorm", "norm"),
           ("cls.predictions.transform.dense", "transform"), ("cls.predictions.transform.LayerNorm", "transform_norm"))


class Bert(nn.Module):
    def __init__(self, vocabulary, layers, hidden, heads, ffn, positions):
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, hidden), nn.Embedding(positions, hidden)
        self.types = nn.Embedding(2, hidden)
        self.norm = nn.LayerNorm(hidden, eps=1e-12)
        self.layers = nn.ModuleList(Layer(hidden, heads, ffn) for _ in range(layers))
        self.transform, self.transform_norm = nn.Linear(hidden, hidden), nn.LayerNorm(hidden, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, 0, 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, pieces, attended, masked):                         # [B, T], 0 or -inf [B, 1, 1, T] or None, [M]
        x = self.norm(self.words(pieces) + self.places.weight[:pieces.shape[1]] + self.types.weight[0])
        for layer in self.layers:
            x = layer(x, attended)
        x = x.reshape(-1, x.shape[-1])[masked]
        x = self.transform_norm(F.gelu(self.transform(x)))
        return x @ self.words.weight.t() + self.bias                     # [M, V]

    def names(self, order=None):
        """Pairs of Hugging Face's names and ours. `order[i]` is the layer of theirs that our layer i stands for."""
        pairs = list(OUTSIDE)
        for i in range(len(self.layers)):
            theirs = i if order is None else order[i]
            pairs += [(f"bert.encoder.layer.{theirs}.{a}", f"layers.{i}.{b}") for a, b in PLACES]
        state = self.state_dict()
        both = [(f"{a}.{kind}", f"{b}.{kind}") for a, b in pairs for kind in ("weight", "bias") if f"{b}.{kind}" in state]
        return both + [("cls.predictions.bias", "bias")]

    def hugging_face(self):
        """Tensors under Hugging Face's names; the decoder is tied and not listed."""
        state = self.state_dict()
        return {theirs: state[ours] for theirs, ours in self.names()}

    def grow(self, tensors, order):
        """Takes a smaller model's weights, some of its layers more than once (Gong et al., "Efficient Training of BERT
        by Progressively Stacking", ICML 2019): what it knows is not learned anew."""
        self.load_state_dict({ours: tensors[theirs].float() for theirs, ours in self.names(order)})

"""Writes tests/reference/saved-again: checkpoints as Transformers' save_pretrained writes them, and what it computes with them.

    python make_saved_again.py OUT

Needs torch, transformers >= 5.10 and safetensors. Random weights in bfloat16, sharded: a model of 12 layers with its logits, and
the configuration of one with 48. Nothing here is read by the product itself.
"""
import json, math, pathlib, sys
import torch, transformers
from safetensors.torch import save_file
from transformers import Gemma4UnifiedConfig, Gemma4UnifiedForConditionalGeneration

IDS = [2, 105, 17, 33, 250, 4, 91, 18, 18, 77, 140, 201, 9 + 90, 64, 3 + 60, 12 + 30, 45, 46, 47, 48, 49, 50, 51, 52]


def make(layers):
    rope = {"sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1000000.0}}
    text = dict(vocab_size=256, hidden_size=32, intermediate_size=48, num_hidden_layers=layers, num_attention_heads=2,
                num_key_value_heads=2, head_dim=16, global_head_dim=32, num_global_key_value_heads=1, attention_k_eq_v=True,
                sliding_window=8, rope_parameters=rope, final_logit_softcapping=30.0, max_position_embeddings=512, pad_token_id=0,
                eos_token_id=[1], bos_token_id=2, use_bidirectional_attention="vision")
    config = Gemma4UnifiedConfig(text_config=text, vision_config=dict(mm_embed_dim=4, mm_posemb_size=16, output_proj_dims=4),
                                 audio_config=dict())
    model = Gemma4UnifiedForConditionalGeneration(config).eval().float()
    generator = torch.Generator().manual_seed(layers)
    for name, p in list(model.named_parameters()) + list(model.named_buffers()):
        if "inv_freq" in name or "embed_scale" in name or not p.is_floating_point():
            continue
        with torch.no_grad():
            if name.endswith("layer_scalar"):
                p.copy_(0.6 + 0.8 * torch.rand(p.shape, generator=generator))
            elif ("norm" in name or "_ln" in name) and name.endswith("weight"):
                mean = 5.0 if name.endswith("model.norm.weight") else 2.5 if "post_" in name else 1.0
                p.copy_(mean * (1 + 0.3 * torch.randn(p.shape, generator=generator)))
            elif "embed_tokens" in name or "lm_head" in name:
                p.copy_(0.12 * torch.randn(p.shape, generator=generator))
            else:
                p.copy_(torch.randn(p.shape, generator=generator) * (1.6 / math.sqrt(p.shape[-1])))
    model.tie_weights()
    return model.to(torch.bfloat16)


@torch.no_grad()
def main(out):
    out.mkdir(parents=True, exist_ok=True)
    print(transformers.__version__)
    for layers, size in ((12, "150KB"), (48, "400KB")):
        folder = out / f"layers{layers}"
        make(layers).save_pretrained(folder, max_shard_size=size)
        loaded = Gemma4UnifiedForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        logits = loaded(input_ids=torch.tensor([IDS]), use_cache=False).logits[0]
        save_file({"input_ids": torch.tensor(IDS, dtype=torch.int32), "prompt_logits": logits.contiguous()}, folder / "expected.st")
        print(layers, sorted(p.name for p in folder.iterdir()), json.loads((folder / "config.json").read_text())["text_config"].get("per_layer_config"))


main(pathlib.Path(sys.argv[1]))

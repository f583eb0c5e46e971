"""Score a model that lies on the disk, in a process of its own: the items in batches, or generated one by one.

Prints one JSON object: the mean score, and the seconds of the items alone.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    """Load, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--items", type=Path, required=True, help="JSON lines of messages, the last one the reference")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--generate", type=int, metavar="TOKENS", help="generate up to so many tokens for one item after the other")
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=getattr(torch, options.dtype))
    model.eval()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    items = [json.loads(line) for line in options.items.read_text().splitlines()]
    begun = time.perf_counter()
    with torch.inference_mode():
        if options.generate:
            scores = generate(model, tokenizer, items, options.generate)
        else:
            scores = likelihoods(model, tokenizer, items, options.batch)
    print(json.dumps({"score": sum(scores) / len(scores), "seconds": time.perf_counter() - begun}))


def likelihoods(model: Any, tokenizer: Any, items: list[list[dict[str, str]]], batch: int) -> list[float]:
    """Return exp of the mean token log-probability of every reference, padded batches in the order of the items."""
    scores = []
    for start in range(0, len(items), batch):
        part = items[start : start + batch]
        prompts = [tokenizer.apply_chat_template(item[:-1], tokenize=False, add_generation_prompt=True) for item in part]
        texts = [tokenizer.apply_chat_template(item, tokenize=False) for item in part]
        lengths = [len(tokenizer(prompt)["input_ids"]) for prompt in prompts]
        encoded = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
        logits = model(**encoded).logits[:, :-1].float().log_softmax(-1)
        targets = encoded["input_ids"][:, 1:]
        logs = logits.gather(2, targets.unsqueeze(2)).squeeze(2)
        for row, length in enumerate(lengths):
            scored = encoded["attention_mask"][row, 1:].bool()
            scored[: length - 1] = False
            scores.append(float(logs[row][scored].mean().exp()))
    return scores


def generate(model: Any, tokenizer: Any, items: list[list[dict[str, str]]], tokens: int) -> list[float]:
    """Return 1 for every item whose generated answer is the reference."""
    scores = []
    for item in items:
        prompt = tokenizer(tokenizer.apply_chat_template(item[:-1], tokenize=False, add_generation_prompt=True), return_tensors="pt")
        output = model.generate(**prompt, max_new_tokens=tokens, do_sample=False, pad_token_id=tokenizer.eos_token_id)
        answer = tokenizer.decode(output[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        scores.append(float(answer.strip() == item[-1]["content"].strip()))
    return scores


if __name__ == "__main__":
    main()

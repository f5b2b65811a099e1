#!/usr/bin/env python3
"""Writes the paragraphs of a SQuAD v1.1 file as JSON lines with the field `text`, for `telepathy perplexity`.

    python tools/reference/squad_contexts.py ../shared/data/squad_v1.1/dev-v1.1.from-explorer.json > squad-dev.jsonl
    build/telepathy perplexity models/wren squad-dev.jsonl
"""
import json
import sys


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        articles = json.load(file)["data"]
    for article in articles:
        for paragraph in article["paragraphs"]:
            print(json.dumps({"text": paragraph["context"]}, ensure_ascii=False))


if __name__ == "__main__":
    main()

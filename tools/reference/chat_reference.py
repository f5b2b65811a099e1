"""Chat formats as transformers renders them, in tests/fixtures/text/chat.json.

Each entry of `templates` has a Jinja template, the format that telepathy must recognise it as, BOS and EOS, and for each
conversation the text (or null, where the template raises an error) with and without a generation prompt. The templates
here are written for this test: short ones with the behaviour of the families' own. With

    chat_reference.py --genuine FOLDER

every FOLDER/<format>*.jinja (the template of a published checkpoint, with "//BOS EOS" in its first line) is rendered too
and must give the same texts as the template of that format here; nothing is written then.
"""
import argparse
import json
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from fixture_io import FIXTURES

TAKE_TURNS = ("{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles') }}{% endif %}")
SPLIT = ("{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
         "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% endif %}")


def chatml(default=None, bos="", always=False):
    first = ""
    if default is not None:
        first = ("{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\n" + default + "<|im_end|>\\n' }}{% endif %}")
    end = "{{ '<|im_start|>assistant\\n' }}"
    return (bos + first + "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
            "'<|im_end|>\\n' }}{% endfor %}"
            + (end if always else "{% if add_generation_prompt %}" + end + "{% endif %}"))


QWEN3 = """{% set ns = namespace(last=0) %}{% for message in messages %}{% if message['role'] == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for message in messages %}
{%- if message['role'] == 'assistant' %}
{%- set content = message['content'] %}{% set thought = '' %}
{%- if '</think>' in content %}
{%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
{%- set content = content.split('</think>')[-1].lstrip('\\n') %}
{%- endif %}
{%- if loop.index0 > ns.last and (loop.last or thought) %}
{{- '<|im_start|>assistant\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
{%- else %}{{- '<|im_start|>assistant\\n' + content }}{% endif %}
{%- else %}{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] }}{% endif %}{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}"""

LLAMA2 = (SPLIT + "{% for message in loop_messages %}" + TAKE_TURNS +
          "{% if loop.first and system_message is defined %}"
          "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
          "{% else %}{% set content = message['content'] %}{% endif %}"
          "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
          "{% else %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}")

LLAMA3 = ("{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + "
          "message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
          "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}")

LLAMA31 = ("{{- bos_token }}{% set date_string = date_string if date_string is defined else '26 Jul 2024' %}"
           "{% set system_message = '' %}{% set loop_messages = messages %}"
           "{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content']|trim %}"
           "{% set loop_messages = messages[1:] %}{% endif %}"
           "{{- '<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\\n' }}"
           "{{- 'Today Date: ' + date_string + '\\n\\n' + system_message + '<|eot_id|>' }}"
           "{% for message in loop_messages %}{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + "
           "message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
           "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}")


def mistral(user, after, assistant, place):
    return (SPLIT + "{{ bos_token }}{% for message in loop_messages %}" + TAKE_TURNS +
            "{% if message['role'] == 'user' %}{% if loop." + place + " and system_message is defined %}"
            "{{ '" + user + "' + system_message + '\\n\\n' + message['content'] + '" + after + "' }}"
            "{% else %}{{ '" + user + "' + message['content'] + '" + after + "' }}{% endif %}"
            "{% else %}{{ " + assistant + " + eos_token }}{% endif %}{% endfor %}")


MISTRAL = ("{{ bos_token }}{% for message in messages %}" + TAKE_TURNS + "{% if message['role'] == 'user' %}"
           "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
           "{{ message['content'] + eos_token}}{% else %}{{ raise_exception('role') }}{% endif %}{% endfor %}")

GEMMA = ("{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('system') }}{% endif %}"
         "{% for message in messages %}" + TAKE_TURNS +
         "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
         "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
         "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}")

GEMMA3 = ("{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first_user_prefix = messages[0]['content'] + '\\n\\n' %}"
          "{% set loop_messages = messages[1:] %}{% else %}{% set first_user_prefix = '' %}{% set loop_messages = messages %}"
          "{% endif %}{% for message in loop_messages %}" + TAKE_TURNS +
          "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
          "{{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else '') }}"
          "{{ message['content'] | trim }}{{ '<end_of_turn>\\n' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}")

PHI3 = ("{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}")

PHI3_FIRST = ("{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{'<|user|>' + '\\n' + "
              "message['content'] + '<|end|>' + '\\n' + '<|assistant|>' + '\\n'}}{% elif message['role'] == 'assistant' %}"
              "{{message['content'] + '<|end|>' + '\\n'}}{% endif %}{% endfor %}")

ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

QWEN25 = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
TEMPLATES = [  # name, format, the name to choose it by (if that gives the same), template, BOS, EOS
    ("chatml", "chatml", True, chatml(), "", "<|im_end|>"),
    ("chatml, BOS", "chatml", False, chatml(bos="{{ bos_token }}"), "<s>", "</s>"),
    ("chatml, own system", "chatml", False, chatml("I am of few words.\\nVery few."), "", "<|im_end|>"),
    ("chatml, always", "chatml", False, chatml(always=True), "", "<|im_end|>"),
    ("qwen2", "chatml", False, chatml("You are a helpful assistant."), "", "<|im_end|>"),
    ("qwen2.5", "chatml", False, chatml(QWEN25).replace("'", '"').replace('["', "['").replace('"]', "']"), "", "<|im_end|>"),
    ("qwen3", "qwen3", True, QWEN3, "", "<|im_end|>"),
    ("llama2", "llama2", True, LLAMA2, "<s>", "</s>"),
    ("llama3", "llama3", True, LLAMA3, "<|begin_of_text|>", "<|eot_id|>"),
    ("llama3.1", "llama3.1", True, LLAMA31, "<|begin_of_text|>", "<|eot_id|>"),
    ("mistral", "mistral", True, MISTRAL, "<s>", "</s>"),
    ("mistral-v1", "mistral-v1", True, mistral(" [INST] ", " [/INST]", "' ' + message['content']", "first"), "<s>", "</s>"),
    ("mistral-v3", "mistral-v3", True, mistral("[INST] ", "[/INST]", "' ' + message['content']", "last"), "<s>", "</s>"),
    ("mistral-v3, trim", "mistral-v3", False, mistral("[INST] ", "[/INST]", "' ' + message['content']|trim", "last"),
     "<s>", "</s>"),
    ("mistral-v3-tekken", "mistral-v3-tekken", True, mistral("[INST]", "[/INST]", "message['content']", "last"),
     "<s>", "</s>"),
    ("gemma", "gemma", True, GEMMA, "<bos>", "<eos>"),
    ("gemma3", "gemma3", True, GEMMA3, "<bos>", "<eos>"),
    ("phi3", "phi3", True, PHI3, "<s>", "<|endoftext|>"),
    ("phi3-first", "phi3-first", True, PHI3_FIRST, "<s>", "<|endoftext|>"),
    ("zephyr", "zephyr", True, ZEPHYR, "<s>", "</s>"),
]

S, U, A = "system", "user", "assistant"
CONVERSATIONS = [
    [(U, "Hello")],
    [(S, "Be brief."), (U, "Hello")],
    [(U, "Hello"), (A, "Hi there")],
    [(S, "Be brief."), (U, "Hello"), (A, "Hi there"), (U, "Who are you?")],
    [(U, "1"), (A, "2"), (U, "3"), (A, "4"), (U, "5")],
    [(S, "  Blanks \n around\t"), (U, " \n Hello \u00e9\u4f60 \n"), (A, "  Hi\n\n"), (U, "\tx\x0b")],
    [(S, "Be brief."), (U, "q"), (A, "<think>\nlong ago\n</think>\n\nanswer"), (U, "r"),
     (A, "\n<think>hm</think>so <think>\n\nand\n</think>\n\nthus\n")],
    [(U, "q"), (A, "<think>a</think>b"), (A, "c")],
    [(U, "\u00a0no-break\u2003"), (A, "\u00a0")],
    [(U, "{{ bos_token }} {bos} {eos} {date} \\n 'quoted'")],
    [(S, "Only the system")],
    [(A, "The assistant first"), (U, "so?")],
    [(U, "one"), (U, "two")],
    [(U, "one"), (S, "late"), (A, "two")],
    [(U, ""), (A, "")],
]


def render(template, bos, eos, messages, generate):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"x": 0}, unk_token="x")),
                                        bos_token=bos or None, eos_token=eos)
    try:
        return tokenizer.apply_chat_template([{"role": r, "content": c} for r, c in messages], chat_template=template,
                                             tokenize=False, add_generation_prompt=generate)
    except Exception as error:  # what the template raised
        if "raise_exception" not in template and "undefined" not in str(error):
            raise
        return None


def all_texts(template, bos, eos):
    return [[render(template, bos, eos, c, g) for g in (False, True)] for c in CONVERSATIONS]


def check_genuine(folder):
    for path in sorted(Path(folder).glob("*.jinja")):
        head, template = path.read_text(encoding="utf-8").split("\n", 1)
        bos, eos = head[2:].split(" ")
        own = next(t for t in TEMPLATES if t[0] == path.name.removesuffix(".jinja").split("@")[0])
        different = [(c, a, b) for c, a, b in zip(CONVERSATIONS, all_texts(template, bos, eos), all_texts(own[3], bos, eos))
                     if a != b]
        print(f"{path.name}: {len(CONVERSATIONS) - len(different)} of {len(CONVERSATIONS)} conversations alike")
        for c, a, b in different:
            print(f"    {c}\n        genuine {a}\n        here    {b}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--genuine")
    arguments = parser.parse_args()
    if arguments.genuine:
        check_genuine(arguments.genuine)
        return
    out = {"conversations": [[{"role": r, "content": c} for r, c in conversation] for conversation in CONVERSATIONS],
           "templates": [{"name": name, "format": kind, "by_name": by_name, "template": template, "bos": bos, "eos": eos,
                          "texts": all_texts(template, bos, eos)}
                         for name, kind, by_name, template, bos, eos in TEMPLATES]}
    path = FIXTURES / "text" / "chat.json"
    path.write_text(json.dumps(out, ensure_ascii=True, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n",
                    encoding="utf-8")
    print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()

/* `telepathy tokenize`: shows what a model's tokenizer makes of a text. */
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/input.h"
#include "cli/piece.h"
#include "lm/model.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

static void print_json(const tp_tokenizer *tokenizer, const tp_ids *ids) {
    json_t *numbers = json_array(), *pieces = json_array();
    for (size_t i = 0; i < ids->len; i++) {
        char *piece = tp_piece_text(tokenizer, ids->data[i]);
        json_array_append_new(numbers, json_integer(ids->data[i]));
        json_array_append_new(pieces, json_string(piece));
        tp_free(piece);
    }
    json_t *answer =
        json_pack("{s:s, s:s, s:I, s:o, s:o}", "kind", tp_tokenizer_kind(tokenizer), "fingerprint",
                  tp_tokenizer_fingerprint(tokenizer), "count", (json_int_t)ids->len, "ids", numbers, "pieces", pieces);
    json_dumpf(answer, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(answer);
}

static void print_tokens(tp_args *args, const tp_tokenizer *tokenizer, const tp_ids *ids) {
    bool only_ids = tp_args_flag(args, "ids"), only_pieces = tp_args_flag(args, "pieces");
    for (size_t i = 0; i < ids->len; i++) {
        if (only_ids) {
            printf("%s%d", i ? " " : "", ids->data[i]);
            continue;
        }
        char *piece = tp_piece_text(tokenizer, ids->data[i]);
        if (only_pieces)
            puts(piece);
        else
            printf("%d\t%s\n", ids->data[i], piece);
        tp_free(piece);
    }
    if (only_ids) putchar('\n');
}

static tp_status run(tp_args *args) {
    if (tp_args_flag(args, "ids") + tp_args_flag(args, "pieces") + tp_args_flag(args, "count") +
            tp_args_flag(args, "json") >
        1)
        return tp_args_refuse(args, "of --ids, --pieces, --count and --json only one can be shown");
    const char *model = tp_args_text(args, "MODEL"), *pattern = tp_args_text(args, "pattern");
    tp_tokenizer *tokenizer = pattern ? tp_tokenizer_load(model, pattern) : tp_lm_load_tokenizer(model);
    if (tokenizer == NULL) return tp_last_status();
    tp_str text = {0};
    tp_status status = TP_OK;
    if (tp_args_given(args, "TEXT") && strcmp(tp_args_text(args, "TEXT"), "-") != 0)
        tp_str_append_text(&text, tp_args_text(args, "TEXT"));
    else
        status = tp_read_text("-", false, &text);
    unsigned flags = (tp_args_flag(args, "add-special") ? TP_TOKENS_ADD_SPECIAL : 0) |
                     (tp_args_flag(args, "parse-special") ? TP_TOKENS_PARSE_SPECIAL : 0);
    tp_ids ids = {0};
    if (status == TP_OK) status = tp_tokenizer_encode(tokenizer, text.data ? text.data : "", text.len, flags, &ids);
    if (status == TP_OK) {
        if (tp_args_flag(args, "count"))
            printf("%zu\n", ids.len);
        else if (tp_args_flag(args, "json"))
            print_json(tokenizer, &ids);
        else
            print_tokens(args, tokenizer, &ids);
    }
    tp_ids_free(&ids);
    tp_str_free(&text);
    tp_tokenizer_free(tokenizer);
    return status;
}

const tp_command tp_cmd_tokenize = {
    .name = "tokenize",
    .summary = "show the tokens that a model's tokenizer makes of a text",
    .text = "Prints one token a line, its id and what it stands for; bytes "
            "that would not show are written as \\n, \\t or "
            "\\xE4. Without TEXT the text is read from stdin.",
    .examples = "telepathy tokenize models/wren \"How many moons has Mars?\"\n"
                "telepathy tokenize models/finch --count < README.md\n",
    .options =
        (const tp_option[]){
            {.name = "MODEL",
             .letter = 'm',
             .type = TP_OPT_PATH,
             .positional = true,
             .required = true,
             .help = "a model's folder, or its tokenizer.json or tokenizer.model"},
            {.name = "TEXT",
             .letter = 'p',
             .type = TP_OPT_TEXT,
             .positional = true,
             .help = "the text; -, or none: stdin"},
            {.name = "ids", .type = TP_OPT_FLAG, .help = "only the ids, on one line"},
            {.name = "pieces", .type = TP_OPT_FLAG, .help = "only the pieces, one a line"},
            {.name = "count", .type = TP_OPT_FLAG, .help = "only how many tokens there are"},
            TP_OPTION_JSON,
            {.name = "add-special",
             .type = TP_OPT_FLAG,
             .fallback = "on",
             .help = "put the begin (and end) token where the model wants it; "
                     "--no-add-special leaves them out"},
            {.name = "parse-special",
             .type = TP_OPT_FLAG,
             .help = "special tokens written out in the text become their ids"},
            {.name = "pattern",
             .type = TP_OPT_CHOICE,
             .choices = (const char *const[]){"llama3", "qwen2", "gpt2", "cl100k_base", "o200k_base", NULL},
             .help = "how a tiktoken rank file cuts words; one of"},
            {0},
        },
    .run = run,
};

/* See passkey.h. */
#include "data/passkey.h"

#include "base/rng.h"
#include "base/str.h"
#include "data/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_CODES = 90000, FIRST_CODE = 10000, N_TEST_CODES = 18000 };

int64_t tp_passkey_words(const char *name) {
    static const char mine[] = "passkey";
    if (!tp_starts_with(name, mine)) return 0;
    const char *rest = name + strlen(mine);
    if (*rest == '\0') return TP_PASSKEY_WORDS;
    if (*rest != ':') return 0;
    char *end;
    long words = strtol(rest + 1, &end, 10);
    if (end > rest + 1 && *end == '\0' && words >= 10 && words <= TP_PASSKEY_MOST_WORDS) return words;
    tp_fail(TP_ERR_ARGUMENT, "the task \"%s\": a length of 10 to %d words was expected behind the colon", name,
            TP_PASSKEY_MOST_WORDS);
    return -1;
}

static size_t count_words(const char *text) {
    size_t n = 1;
    for (; *text; text++) n += *text == ' ';
    return n;
}

static const char *draw(tp_rng *rng, const json_t *list) {
    return json_string_value(json_array_get(list, (size_t)tp_rng_below(rng, json_array_size(list))));
}

/* Filler until the words are used up, with the hiding sentence somewhere between. */
static void write_text(tp_rng *rng, const json_t *filler, const char *hiding, size_t n_words, tp_str *text) {
    size_t n = 0, words = count_words(hiding), capacity = 0;
    const char **sentences = NULL;
    while (words < n_words) {
        tp_grow(&sentences, &capacity, n, sizeof *sentences);
        sentences[n] = draw(rng, filler);
        words += count_words(sentences[n++]);
    }
    size_t place = (size_t)tp_rng_below(rng, n + 1);
    tp_str_clear(text);
    for (size_t i = 0; i <= n; i++) {
        if (i > 0) tp_str_append_char(text, ' ');
        tp_str_append_text(text, i < place ? sentences[i] : i == place ? hiding : sentences[i - 1]);
    }
    tp_free(sentences);
}

tp_status tp_passkey_rows(json_t *description, const char *side, size_t count, int64_t n_words, tp_rows *rows) {
    const json_t *filler = json_object_get(description, "filler"), *hiding = json_object_get(description, "hiding");
    if (json_array_size(filler) == 0 || json_array_size(hiding) == 0)
        return tp_fail(TP_ERR_FORMAT, "the description of passkey lacks a list `filler` or `hiding`");
    bool test = strcmp(side, "test") == 0;
    if (count > (test ? N_TEST_CODES : N_CODES - N_TEST_CODES))
        return tp_fail(TP_ERR_ARGUMENT, "passkey has not as many %s codes as the %zu that were asked for", side, count);
    int64_t *codes = tp_alloc(N_CODES * sizeof *codes); /* the first ones in a random order are those of test */
    for (int64_t i = 0; i < N_CODES; i++) codes[i] = FIRST_CODE + i;
    tp_rng shuffle = tp_rng_stream((uint64_t)n_words, "passkey codes", 0);
    tp_rng_shuffle(&shuffle, codes, N_CODES);
    tp_str text = {0};
    for (size_t i = 0; i < count; i++) {
        tp_rng rng = tp_rng_stream((uint64_t)n_words, test ? "passkey test" : "passkey train", i);
        char code[24];
        snprintf(code, sizeof code, "%lld", (long long)codes[test ? i : N_TEST_CODES + i]);
        size_t n;
        char *sentence = tp_prompt_fill(draw(&rng, hiding), code, strlen(code), &n);
        write_text(&rng, filler, sentence, (size_t)n_words, &text);
        tp_free(sentence);
        tp_rows_add(
            rows,
            &(tp_row){.text = text.data, .len = text.len, .answers = (const char *const[]){code, NULL}, .line = i + 1});
    }
    tp_str_free(&text);
    tp_free(codes);
    return TP_OK;
}

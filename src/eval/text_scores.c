/* Free answers against gold ones. See text_scores.h. */
#include "eval/text_scores.h"

#include "base/mem.h"
#include "base/str.h"
#include "text/unicode.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- SQuAD's normal form ---- */

static bool is_blank(uint32_t code) {
    return tp_is_white(code) || (code >= 0x1C && code <= 0x1F); /* Python counts the four separators too */
}

/* Lower case without ASCII's punctuation. */
static void lower(const char *text, size_t n, tp_str *out) {
    for (size_t at = 0, step; at < n; at += step) {
        uint32_t code;
        step = tp_utf8_decode(text + at, n - at, &code);
        if (step == 0)
            tp_str_append(out, text + at, step = 1);
        else if (code >= 0x80 || !ispunct((int)code))
            tp_utf8_append_lower(out, code);
    }
}

/* What Python's \w is, but for the underscore, which is gone by now. */
static bool in_word(uint32_t code) {
    return (tp_is_letter(code) && !tp_is_mark(code)) || tp_is_number(code);
}

/* Whether what stands at `at` (or before it) is part of a word, so that no boundary is there. */
static bool word_at(const char *text, size_t n, size_t at) {
    uint32_t code;
    return tp_utf8_decode(text + at, n - at, &code) > 0 && in_word(code);
}

static bool word_before(const char *text, size_t at) {
    uint32_t code;
    return tp_utf8_decode_before(text, at, &code) > 0 && in_word(code);
}

static size_t article_at(const char *text, size_t n, size_t at) {
    static const char *const articles[] = {"the", "an", "a"};
    if (at > 0 && word_before(text, at)) return 0;
    for (int i = 0; i < 3; i++) {
        size_t length = strlen(articles[i]);
        if (length <= n - at && memcmp(text + at, articles[i], length) == 0 && !word_at(text, n, at + length))
            return length;
    }
    return 0;
}

/* The words of the normal form, parted by single blanks. */
static void normalise(const char *text, size_t n, tp_str *out) {
    tp_str plain = {0};
    lower(text, n, &plain);
    tp_str_clear(out);
    tp_str_append_text(out, "");
    bool blank = false;
    for (size_t at = 0, step; at < plain.len; at += step) {
        uint32_t code = 0;
        size_t article = article_at(plain.data, plain.len, at);
        step = article ? article : tp_utf8_decode(plain.data + at, plain.len - at, &code);
        if (step == 0) step = 1;
        if (article || is_blank(code)) {
            blank = true;
            continue;
        }
        if (blank && out->len > 0) tp_str_append_char(out, ' ');
        blank = false;
        tp_str_append(out, plain.data + at, step);
    }
    tp_str_free(&plain);
}

bool tp_score_exact(const char *answer, size_t n, const char *const *golds) {
    tp_str mine = {0}, gold = {0};
    normalise(answer, n, &mine);
    bool equal = false;
    for (; *golds && !equal; golds++) {
        normalise(*golds, strlen(*golds), &gold);
        equal = mine.len == gold.len && memcmp(mine.data, gold.data, mine.len) == 0;
    }
    tp_str_free(&mine);
    tp_str_free(&gold);
    return equal;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Cuts a normal form (changed) into its words, sorted; [*n], to be freed with tp_free. */
static const char **sorted_words(tp_str *text, size_t *n) {
    *n = 0;
    const char **words = tp_alloc((text->len / 2 + 2) * sizeof *words);
    for (char *p = text->len ? text->data : NULL; p;) {
        words[(*n)++] = p;
        p = strchr(p, ' ');
        if (p) *p++ = '\0';
    }
    qsort(words, *n, sizeof *words, by_text);
    return words;
}

static double f1(const char **mine, size_t n_mine, const char **gold, size_t n_gold) {
    size_t same = 0;
    for (size_t i = 0, j = 0; i < n_mine && j < n_gold;) {
        int order = strcmp(mine[i], gold[j]);
        same += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    if (same == 0) return 0;
    double precision = (double)same / (double)n_mine, recall = (double)same / (double)n_gold;
    return 2 * precision * recall / (precision + recall);
}

double tp_score_f1(const char *answer, size_t n, const char *const *golds) {
    tp_str mine = {0}, gold = {0};
    size_t n_mine, n_gold;
    normalise(answer, n, &mine);
    const char **my_words = sorted_words(&mine, &n_mine);
    double best = 0;
    for (; *golds; golds++) {
        normalise(*golds, strlen(*golds), &gold);
        const char **gold_words = sorted_words(&gold, &n_gold);
        best = fmax(best, f1(my_words, n_mine, gold_words, n_gold));
        tp_free(gold_words);
    }
    tp_free(my_words);
    tp_str_free(&mine);
    tp_str_free(&gold);
    return best;
}

/* ---- numbers and codes ---- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Whether text[at] is a comma or point between two digits. */
static bool joins_digits(const char *text, size_t n, size_t at) {
    return (text[at] == ',' || text[at] == '.') && at > 0 && is_digit(text[at - 1]) && at + 1 < n &&
           is_digit(text[at + 1]);
}

/* The end of the number that begins at `at` (a digit). */
static size_t number_end(const char *text, size_t n, size_t at) {
    while (at < n && (is_digit(text[at]) || joins_digits(text, n, at))) at++;
    return at;
}

bool tp_score_last_number(const char *text, size_t n, double *number) {
    size_t from = 0;
    for (size_t i = 0; i + 4 <= n; i++)
        if (memcmp(text + i, "####", 4) == 0) from = i + 4;
    bool found = false;
    for (size_t at = from; at < n; at++) {
        if (!is_digit(text[at])) continue;
        size_t end = number_end(text, n, at);
        tp_str plain = {0};
        bool fraction = at > from && text[at - 1] == '.' && !(at > from + 1 && is_digit(text[at - 2])); /* ".5" */
        size_t before = fraction ? at - 1 : at;
        if (before > from && text[before - 1] == '-' &&
            !(before > from + 1 && isalnum((unsigned char)text[before - 2])))
            tp_str_append_char(&plain, '-');
        if (fraction) tp_str_append_text(&plain, "0.");
        for (size_t i = at; i < end; i++)
            if (text[i] != ',') tp_str_append_char(&plain, text[i]);
        *number = strtod(plain.data, NULL);
        tp_str_free(&plain);
        found = true;
        at = end;
    }
    return found;
}

bool tp_score_number(const char *answer, size_t n, const char *const *golds) {
    double mine, gold;
    if (!tp_score_last_number(answer, n, &mine)) return false;
    for (; *golds; golds++)
        if (tp_score_last_number(*golds, strlen(*golds), &gold) && fabs(mine - gold) <= 1e-9 * fmax(1, fabs(gold)))
            return true;
    return false;
}

tp_code_score tp_score_code(const char *answer, size_t n, const char *code) {
    tp_code_score score = {.digits = (int)strlen(code)};
    size_t at = 0, length = 0;
    while (at < n && !is_digit(answer[at])) at++;
    while (at + length < n && is_digit(answer[at + length])) length++;
    for (size_t i = 0; i < length && i < (size_t)score.digits; i++) score.right += answer[at + i] == code[i];
    score.exact = score.right == score.digits && length == (size_t)score.digits;
    return score;
}

tp_answer_score tp_score_answer(const tp_task *task, const tp_example *example, const char *answer, size_t n) {
    const char *const *golds = example->answers;
    if (task->answer_form == TP_ANSWER_WORDS)
        return (tp_answer_score){tp_score_exact(answer, n, golds), tp_score_f1(answer, n, golds)};
    if (task->answer_form == TP_ANSWER_NUMBER) {
        bool right = tp_score_number(answer, n, golds);
        return (tp_answer_score){right, right};
    }
    tp_code_score code = tp_score_code(answer, n, golds[0]);
    return (tp_answer_score){code.exact, code.digits ? (double)code.right / code.digits : 0};
}

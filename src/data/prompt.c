/* Text in and out of a model: filling a prompt, and reading a label in an answer. See task.h. */
#include "base/mem.h"
#include "base/str.h"
#include "data/task.h"

#include <ctype.h>
#include <string.h>

char *tp_prompt_fill(const char *prompt_template, const char *text, size_t n, size_t *len) {
    tp_str out = {0};
    for (const char *p = prompt_template, *place; *p; p = place + strlen("{text}")) {
        place = strstr(p, "{text}");
        tp_str_append(&out, p, place ? (size_t)(place - p) : strlen(p));
        if (place == NULL) break;
        tp_str_append(&out, text, n);
    }
    *len = out.len;
    return tp_str_take(&out);
}

/* Letters, digits and every byte of a character outside ASCII: what a word is made of. */
static bool in_word(char c) {
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

static bool same(char in_name, char in_answer) {
    if (in_name == ' ') return isspace((unsigned char)in_answer) || in_answer == '_' || in_answer == '-';
    return tolower((unsigned char)in_name) == tolower((unsigned char)in_answer);
}

/* Whether the name stands at answer[at], as whole words. A name that begins or ends in punctuation needs no boundary
 * there. */
static bool stands_at(const char *name, size_t length, const char *answer, size_t n, size_t at) {
    if (length == 0 || length > n - at) return false;
    if (at > 0 && in_word(answer[at - 1]) && in_word(name[0])) return false;
    for (size_t i = 0; i < length; i++)
        if (!same(name[i], answer[at + i])) return false;
    return at + length == n || !in_word(answer[at + length]) || !in_word(name[length - 1]);
}

/* A letter that stands before an option is not the article "a". */
static bool is_article(const tp_task *task, const char *name, char in_answer) {
    return task->kind == TP_TASK_CHOICE && name[1] == '\0' && name[0] != in_answer;
}

static int32_t parse(const tp_task *task, const char *const *options, const char *answer, size_t n) {
    for (size_t at = 0; at < n; at++) {
        int32_t best = -1;
        size_t longest = 0;
        for (int32_t l = 0; l < task->n_labels; l++) {
            const char *const *synonym = task->labels[l].synonyms;
            for (const char *name = task->labels[l].name; name; name = *synonym++) {
                size_t length = strlen(name);
                if (length > longest && stands_at(name, length, answer, n, at) && !is_article(task, name, answer[at]))
                    best = l, longest = length;
            }
            size_t length = options ? strlen(options[l]) : 0;
            if (length > longest && stands_at(options[l], length, answer, n, at)) best = l, longest = length;
        }
        if (best >= 0) return best;
    }
    return -1;
}

int32_t tp_task_parse_answer(const tp_task *task, const char *answer, size_t n) {
    return parse(task, NULL, answer, n);
}

int32_t tp_example_parse_answer(const tp_task *task, const tp_example *example, const char *answer, size_t n) {
    return parse(task, example->options, answer, n);
}

const char *tp_example_answer(const tp_task *task, const tp_example *example) {
    if (example->answers) return example->answers[0];
    return example->options ? example->options[example->label] : task->labels[example->label].name;
}

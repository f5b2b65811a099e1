/* What free answers show beside being right or wrong. See free_marks.h. */
#include "eval/free_marks.h"

#include "base/mem.h"
#include "base/str.h"

void tp_free_marks_add(tp_free_marks *marks, const tp_example *example, const char *answer, size_t n, double part) {
    marks->part += part;
    tp_score_entities(example->text, example->len, answer, n, &marks->entities);
    tp_grow(&marks->written, &marks->capacity, marks->n, sizeof *marks->written);
    marks->written[marks->n++] = tp_strndup(answer, n);
}

/* A kind that no text names is left out. */
static void add_share(tp_str *text, const char *name, const tp_entity_count *c, bool *first) {
    if (c->named == 0) return;
    tp_str_appendf(text, "%s%s %.1f %%", *first ? "of the text's " : ", ", name,
                   100 * (double)c->found / (double)c->named);
    *first = false;
}

char *tp_free_marks_note(const tp_free_marks *m, const tp_task *task) {
    static const char *const names[] = {[TP_ANSWER_WORDS] = "F1", [TP_ANSWER_CODE] = "digits right"};
    if (m->n == 0) return NULL;
    tp_str text = {0};
    bool first = true;
    if (task->answer_form != TP_ANSWER_NUMBER) /* a number is right or wrong */
        tp_str_appendf(&text, "%s %.1f %%; ", names[task->answer_form], 100 * m->part / (double)m->n);
    add_share(&text, "numbers", &m->entities.numbers, &first);
    add_share(&text, "names", &m->entities.names, &first);
    add_share(&text, "nouns", &m->entities.nouns, &first);
    if (!first) tp_str_append_text(&text, " found again; ");
    double diversity = tp_score_diversity((const char *const *)m->written, m->n);
    tp_str_appendf(&text, "%.1f %% of the answers different", 100 * diversity);
    return tp_str_take(&text);
}

void tp_free_marks_free(tp_free_marks *marks) {
    for (size_t i = 0; i < marks->n; i++) tp_free(marks->written[i]);
    tp_free(marks->written);
    *marks = (tp_free_marks){0};
}

/* A document as Markdown: what a terminal, a review or a README can show. See writers.h. */
#include "report/writers.h"

#include "base/str.h"
#include "report/escape.h"

#include <string.h>

static void line(tp_str *out, const char *before, const char *text, const char *after) {
    tp_str_append_text(out, before);
    tp_escape_markdown(out, text);
    tp_str_append_text(out, after);
}

static void table(tp_str *out, const tp_block *b) {
    const tp_sheet *s = &b->sheet;
    line(out, "**", b->text, "**\n\n");
    for (size_t c = 0; c < s->n_columns; c++) line(out, "| ", s->columns[c].heading, " ");
    tp_str_append_text(out, "|\n");
    for (size_t c = 0; c < s->n_columns; c++) tp_str_append_text(out, s->columns[c].number ? "|--:" : "|:--");
    tp_str_append_text(out, "|\n");
    for (size_t r = 0; r < tp_sheet_rows(s); r++) {
        const char *group = tp_sheet_group_at(s, r);
        if (group) {
            line(out, "| *", group, "* ");
            for (size_t c = 1; c < s->n_columns; c++) tp_str_append_text(out, "| ");
            tp_str_append_text(out, "|\n");
        }
        const char *mark = tp_sheet_is_strong(s, r) ? "**" : "";
        for (size_t c = 0; c < s->n_columns; c++) {
            size_t i = r * s->n_columns + c;
            const char *text = i < s->n_cells ? s->cells[i].text : "";
            tp_str_append_text(out, "| ");
            if (*text) tp_str_append_text(out, mark);
            tp_escape_markdown(out, text);
            if (*text) tp_str_append_text(out, mark);
            tp_str_append_char(out, ' ');
        }
        tp_str_append_text(out, "|\n");
    }
    tp_str_append_char(out, '\n');
}

/* A fence longer than any row of backticks inside. */
static void code(tp_str *out, const tp_block *b) {
    size_t longest = 2, run = 0;
    for (const char *c = b->body; *c; c++) {
        run = *c == '`' ? run + 1 : 0;
        if (run > longest) longest = run;
    }
    line(out, "", b->text, ":\n\n");
    for (size_t i = 0; i <= longest; i++) tp_str_append_char(out, '`');
    tp_str_appendf(out, "\n%s\n", b->body);
    for (size_t i = 0; i <= longest; i++) tp_str_append_char(out, '`');
    tp_str_append_text(out, "\n\n");
}

char *tp_doc_markdown(const tp_doc *doc) {
    tp_str out = {0};
    line(&out, "# ", doc->title, "\n\n");
    line(&out, "", doc->subtitle, "\n\n");
    for (size_t i = 0; i < doc->n; i++) {
        const tp_block *b = &doc->blocks[i];
        switch (b->kind) {
        case TP_BLOCK_SECTION:
            line(&out, "## ", b->text, "\n\n");
            break;
        case TP_BLOCK_PART:
            line(&out, "### ", b->text, "\n\n");
            break;
        case TP_BLOCK_TEXT:
        case TP_BLOCK_NOTE:
            line(&out, "", b->text, "\n\n");
            break;
        case TP_BLOCK_TABLE:
            table(&out, b);
            break;
        case TP_BLOCK_CODE:
            code(&out, b);
            break;
        case TP_BLOCK_FIGURE:
        case TP_BLOCK_MARKED:
            break;
        }
    }
    return tp_str_take(&out);
}

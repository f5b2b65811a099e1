/* Making bytes visible. See piece.h. */
#include "cli/piece.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

char *tp_visible_text(const char *text, size_t n) {
    tp_str out = {0};
    json_t *valid = json_stringn(text, n); /* NULL if this is not UTF-8 */
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n')
            tp_str_append_text(&out, "\\n");
        else if (c == '\t')
            tp_str_append_text(&out, "\\t");
        else if (c == '\\')
            tp_str_append_text(&out, "\\\\");
        else if (c < ' ' || c == 0x7F || (c >= 0x80 && valid == NULL))
            tp_str_appendf(&out, "\\x%02X", c);
        else
            tp_str_append_char(&out, (char)c);
    }
    json_decref(valid);
    return tp_str_take(&out);
}

char *tp_piece_text(const tp_tokenizer *tokenizer, int32_t id) {
    size_t n = 0;
    const char *piece = tp_tokenizer_piece(tokenizer, id, &n);
    return piece ? tp_visible_text(piece, n) : tp_strdup("");
}

/* Which chat format a checkpoint's Jinja template is: by the marks of the table, and the details that vary within a
 * format, read from the template's text. See chat.h for why it is not run. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "text/chat_parts.h"

#include <string.h>

enum { LARGEST_TEMPLATE = 1 << 20 }; /* bytes */

/* Spellings that mean the same become one: the escape \n a line feed, " a ', any run of blanks a single one. */
static char *normalise(const char *text) {
    tp_str out = {0};
    for (; *text; text++) {
        if (text[0] == '\\' && text[1] == 'n') {
            tp_str_append_char(&out, '\n');
            text++;
        } else if (*text == ' ' || *text == '\t') {
            if (out.len == 0 || out.data[out.len - 1] != ' ') tp_str_append_char(&out, ' ');
        } else {
            tp_str_append_char(&out, *text == '"' ? '\'' : *text);
        }
    }
    return tp_str_take(&out);
}

static bool fits(const tp_chat_format *format, const char *text) {
    if (format->marks[0] == NULL) return false;
    for (int i = 0; i < 4; i++) {
        if (format->marks[i] && strstr(text, format->marks[i]) == NULL) return false;
        if (format->unless[i] && strstr(text, format->unless[i]) != NULL) return false;
    }
    return true;
}

/* ChatML: a template that begins without a system message with one of its own has it written out between the tokens;
 * where a message's text goes there instead, a quote ends the literal first. NULL if there is none. */
static char *default_system(const char *text) {
    static const char head[] = "<|im_start|>system\n";
    for (const char *at = text; (at = strstr(at, head)) != NULL;) {
        at += sizeof head - 1;
        const char *end = strstr(at, "<|im_end|>");
        size_t n = end ? (size_t)(end - at) : 0;
        if (n > 0 && memchr(at, '\'', n) == NULL && memchr(at, '{', n) == NULL) return tp_strndup(at, n);
    }
    return NULL;
}

/* What differs between templates of one format. */
static void read_details(tp_chat *chat, const char *text) {
    tp_chat_format *f = &chat->format;
    bool bos_in_turns = strstr(f->turn[TP_TURN_USER].before, "{bos}") != NULL;
    if (!bos_in_turns) f->bos = strstr(text, "bos_token") != NULL || strstr(text, "<|begin_of_text|>") != NULL;
    if (strstr(f->turn[TP_TURN_USER].before, "<|im_start|>") && !f->thinks)
        f->fallback = chat->fallback = default_system(text);
    if (f->system == TP_SYSTEM_FIRST_USER || f->system == TP_SYSTEM_LAST_USER) {
        if (strstr(text, "loop.last and system_message")) f->system = TP_SYSTEM_LAST_USER;
        if (strstr(text, "loop.first and system_message")) f->system = TP_SYSTEM_FIRST_USER;
    }
    if (strstr(text, "message['content']|trim + eos_token") || strstr(text, "message['content'] | trim + eos_token"))
        f->turn[TP_TURN_ASSISTANT].trim = true;
    if (f->close && strstr(text, "else %}{{ eos_token }}") == NULL) f->close = NULL;
    if (f->generate && strstr(text, "add_generation_prompt") == NULL) f->close = f->generate; /* it is always there */
}

tp_status tp_chat_recognise(tp_chat *chat, const char *template_text, const char *where) {
    char *text = normalise(template_text);
    const tp_chat_format *format = tp_chat_formats;
    while (format->name && !fits(format, text)) format++;
    tp_status status = TP_OK;
    if (format->name) {
        chat->format = *format;
        read_details(chat, text);
    } else {
        char *known = tp_chat_name_list();
        status = tp_fail(TP_ERR_UNSUPPORTED,
                         "%s is not a chat template that this program knows; name the format with --chat-template: %s",
                         where, known);
        tp_free(known);
    }
    tp_free(text);
    return status;
}

/* ---- where templates are ---- */

/* `chat_template` of tokenizer_config.json is a text, or a list of named ones of which "default" is meant. */
static tp_status from_config(const char *path, char **out) {
    json_t *config = tp_json_load_reals(path);
    if (config == NULL) return tp_last_status();
    const json_t *value = json_object_get(config, "chat_template"), *item;
    size_t i;
    if (json_is_array(value)) {
        const json_t *list = value;
        value = NULL;
        json_array_foreach(list, i, item) {
            const char *name = json_string_value(json_object_get(item, "name"));
            if (name && strcmp(name, "default") == 0) value = json_object_get(item, "template");
        }
    }
    if (json_is_string(value)) *out = tp_strdup(json_string_value(value));
    json_decref(config);
    return TP_OK;
}

tp_status tp_chat_read_template(const char *folder, char **template_text, char **where) {
    *template_text = NULL;
    *where = tp_path_join(folder, "chat_template.jinja");
    tp_status status = TP_OK;
    if (tp_path_exists(*where)) {
        size_t n;
        status = tp_read_file(*where, LARGEST_TEMPLATE, template_text, &n);
    } else {
        tp_free(*where);
        *where = tp_path_join(folder, "tokenizer_config.json");
        if (tp_path_exists(*where)) status = from_config(*where, template_text);
    }
    if (*template_text == NULL) {
        tp_free(*where);
        *where = NULL;
    }
    return status;
}

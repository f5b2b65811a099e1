/* The table of chat formats, and rendering. See chat.h. */
#include "text/chat.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "text/chat_parts.h"
#include "text/unicode.h"

#include <string.h>

#define CHATML_TURNS                                                                                                   \
    .turn = {{"<|im_start|>system\n", "<|im_end|>\n", false},                                                          \
             {"<|im_start|>user\n", "<|im_end|>\n", false},                                                            \
             {"<|im_start|>assistant\n", "<|im_end|>\n", false}},                                                      \
    .generate = "<|im_start|>assistant\n"
#define LLAMA3_HEAD(ROLE) "<|start_header_id|>" ROLE "<|end_header_id|>\n\n"
#define LLAMA3_TURNS                                                                                                   \
    .turn = {{LLAMA3_HEAD("system"), "<|eot_id|>", true},                                                              \
             {LLAMA3_HEAD("user"), "<|eot_id|>", true},                                                                \
             {LLAMA3_HEAD("assistant"), "<|eot_id|>", true}},                                                          \
    .generate = LLAMA3_HEAD("assistant"), .bos = true
#define GEMMA_TURNS                                                                                                    \
    .turn = {{"", "\n\n", false},                                                                                      \
             {"<start_of_turn>user\n", "<end_of_turn>\n", true},                                                       \
             {"<start_of_turn>model\n", "<end_of_turn>\n", true}},                                                     \
    .generate = "<start_of_turn>model\n", .bos = true, .alternate = true

/* Marks are compared with the template as chat_recognise.c normalises it: \n for the escape, ' for ", single blanks. */
const tp_chat_format tp_chat_formats[] = {
    {"chatml", CHATML_TURNS, .marks = {"<|im_start|>", "<|im_end|>"},
     .unless = {"think>", "<|im_sep|>", "trim", "strip()"}},
    {"qwen2", CHATML_TURNS, .fallback = "You are a helpful assistant."},
    {"qwen2.5", CHATML_TURNS, .fallback = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."},
    {"qwen3", CHATML_TURNS, .thinks = true, .marks = {"<|im_start|>", "enable_thinking", "</think>"}},
    {"llama2",
     .turn = {{"<<SYS>>\n", "\n<</SYS>>\n\n", true}, {"{bos}[INST] ", " [/INST]", true}, {" ", " {eos}", true}},
     .system = TP_SYSTEM_FIRST_USER, .alternate = true,
     .marks = {"'<<SYS>>\n' + system_message + '\n<</SYS>>\n\n'",
               "bos_token + '[INST] ' + content.strip() + ' [/INST]'", "' ' + content.strip() + ' ' + eos_token"}},
    {"llama3", LLAMA3_TURNS, .marks = {"<|start_header_id|>", "message['content'] | trim + '<|eot_id|>'"},
     .unless = {"Cutting Knowledge Date", "detailed thinking"}},
    {"llama3.1", LLAMA3_TURNS, .fallback = "",
     .preface = "Cutting Knowledge Date: December 2023\nToday Date: {date}\n\n",
     .marks = {"<|start_header_id|>", "message['content'] | trim + '<|eot_id|>'",
               "Cutting Knowledge Date: December 2023\n", "Today Date: "}},
    {"mistral", .turn = {{"", "", false}, {"[INST] ", " [/INST]", false}, {"", "{eos}", false}},
     .system = TP_SYSTEM_NONE, .bos = true, .alternate = true,
     .marks = {"'[INST] ' + message['content'] + ' [/INST]'", "message['content'] + eos_token"},
     .unless = {"system_message", "' ' + message['content']", "<<SYS>>", "trim"}},
    {"mistral-v1", .turn = {{"", "\n\n", false}, {" [INST] ", " [/INST]", false}, {" ", "{eos}", false}},
     .system = TP_SYSTEM_FIRST_USER, .bos = true, .alternate = true,
     .marks = {"' [INST] ' + message['content'] + ' [/INST]'",
               "' [INST] ' + system_message + '\n\n' + message['content']", "' ' + message['content']"}},
    {"mistral-v3", .turn = {{"", "\n\n", false}, {"[INST] ", "[/INST]", false}, {" ", "{eos}", false}},
     .system = TP_SYSTEM_LAST_USER, .bos = true, .alternate = true,
     .marks = {"'[INST] ' + message['content'] + '[/INST]'", "'[INST] ' + system_message + '\n\n' + message['content']",
               "' ' + message['content']"}},
    {"mistral-v3-tekken", .turn = {{"", "\n\n", false}, {"[INST]", "[/INST]", false}, {"", "{eos}", false}},
     .system = TP_SYSTEM_LAST_USER, .bos = true, .alternate = true,
     .marks = {"'[INST]' + message['content'] + '[/INST]'", "'[INST]' + system_message + '\n\n' + message['content']",
               "message['content']"},
     .unless = {"' ' + message['content']"}},
    {"gemma", GEMMA_TURNS, .system = TP_SYSTEM_NONE, .marks = {"<start_of_turn>", "<end_of_turn>", "trim"},
     .unless = {"first_user_prefix"}},
    {"gemma3", GEMMA_TURNS, .system = TP_SYSTEM_FIRST_USER,
     .marks = {"<start_of_turn>", "<end_of_turn>", "trim", "first_user_prefix"}},
    {"phi3",
     .turn = {{"<|system|>\n", "<|end|>\n", false},
              {"<|user|>\n", "<|end|>\n", false},
              {"<|assistant|>\n", "<|end|>\n", false}},
     .generate = "<|assistant|>\n", .close = "{eos}", .marks = {"<|end|>", "<|assistant|>\n"},
     .unless = {"'<|end|>' + '\n' + '<|assistant|>'", "trim", "strip()", "<|start|>"}},
    {"phi3-first",
     .turn = {{"", "", false}, {"<|user|>\n", "<|end|>\n<|assistant|>\n", false}, {"", "<|end|>\n", false}},
     .system = TP_SYSTEM_IGNORED, .bos = true, .marks = {"'<|end|>' + '\n' + '<|assistant|>' + '\n'"},
     .unless = {"<|system|>"}},
    {"zephyr",
     .turn = {{"<|system|>\n", "{eos}\n", false},
              {"<|user|>\n", "{eos}\n", false},
              {"<|assistant|>\n", "{eos}\n", false}},
     .generate = "<|assistant|>\n",
     .marks = {"'<|user|>\n' + message['content'] + eos_token", "'<|system|>\n' + message['content'] + eos_token",
               "<|assistant|>"}},
    {"plain", .turn = {{"", "\n\n", false}, {"User: ", "\n", false}, {"Assistant: ", "\n", false}},
     .generate = "Assistant:", .plain = true},
    {0},
};

/* ---- choosing ---- */

enum { N_FORMATS = sizeof tp_chat_formats / sizeof tp_chat_formats[0] - 1, LARGEST_TEMPLATE = 1 << 20 };

const char *tp_chat_known(size_t i) {
    return i < N_FORMATS ? tp_chat_formats[i].name : NULL;
}

char *tp_chat_name_list(void) {
    tp_str list = {0};
    for (int i = 0; i < N_FORMATS; i++) tp_str_appendf(&list, "%s%s", i ? ", " : "", tp_chat_formats[i].name);
    return tp_str_take(&list);
}

static tp_status choose_by_name(tp_chat *chat, const char *name) {
    for (int i = 0; i < N_FORMATS; i++) {
        if (strcmp(tp_chat_formats[i].name, name) != 0) continue;
        chat->format = tp_chat_formats[i];
        return TP_OK;
    }
    if (tp_path_exists(name)) {
        char *text;
        size_t n;
        TP_TRY(tp_read_file(name, LARGEST_TEMPLATE, &text, &n));
        tp_status status = tp_chat_recognise(chat, text, name);
        tp_free(text);
        return status;
    }
    char *known = tp_chat_name_list();
    tp_fail(TP_ERR_ARGUMENT, "there is no chat template \"%.100s\"; known are %s, or the path of a template", name,
            known);
    tp_free(known);
    return TP_ERR_ARGUMENT;
}

static tp_status choose_by_folder(tp_chat *chat, const char *folder) {
    char *text = NULL, *where = NULL;
    if (folder) TP_TRY(tp_chat_read_template(folder, &text, &where));
    tp_status status;
    if (text) {
        status = tp_chat_recognise(chat, text, where);
    } else {
        char *known = tp_chat_name_list();
        status =
            tp_fail(TP_ERR_ARGUMENT, "%s has no chat template; if it is a chat model name one with --chat-template: %s",
                    folder ? folder : "the model", known);
        tp_free(known);
    }
    tp_free(text);
    tp_free(where);
    return status;
}

tp_chat *tp_chat_choose(const char *name, const char *template_text, const char *folder) {
    tp_chat *chat = tp_alloc(sizeof *chat);
    tp_status status = name            ? choose_by_name(chat, name)
                       : template_text ? tp_chat_recognise(chat, template_text, "the model's chat template")
                                       : choose_by_folder(chat, folder);
    if (status == TP_OK) return chat;
    tp_chat_free(chat);
    return NULL;
}

void tp_chat_free(tp_chat *chat) {
    if (chat == NULL) return;
    tp_free(chat->fallback);
    tp_free(chat);
}

const char *tp_chat_name(const tp_chat *chat) {
    return chat->format.name;
}

/* ---- rendering ---- */

typedef struct {
    const tp_chat_format *format;
    const tp_chat_message *messages;
    size_t n;
    const tp_chat_options *options;
    tp_str out;
} render;

/* Markup of the table, with {bos}, {eos} and {date} filled in. */
static void put_markup(render *r, const char *text) {
    const struct {
        const char *name, *value;
    } holes[] = {
        {"{bos}", r->options->bos},
        {"{eos}", r->options->eos},
        {"{date}", r->options->date ? r->options->date : "26 Jul 2024"},
    };
    while (*text) {
        size_t i = 0;
        while (i < 3 && !tp_starts_with(text, holes[i].name)) i++;
        if (i == 3) {
            tp_str_append_char(&r->out, *text++);
            continue;
        }
        if (holes[i].value) tp_str_append_text(&r->out, holes[i].value);
        text += strlen(holes[i].name);
    }
}

typedef struct {
    const char *data;
    size_t len;
} slice;

static slice whole(const char *text) {
    return (slice){text, strlen(text)};
}

/* Without line feeds at its begin and end. */
static slice strip_lines(slice s, bool begin, bool end) {
    while (begin && s.len > 0 && *s.data == '\n') s.data++, s.len--;
    while (end && s.len > 0 && s.data[s.len - 1] == '\n') s.len--;
    return s;
}

/* What Python's strip takes for a blank, and with it Jinja's trim. */
static bool is_blank(uint32_t c) {
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/* Without blanks at its begin and end. Bytes that are no UTF-8 are no blanks. */
static slice strip(slice s) {
    size_t begin = 0, end = 0;
    for (size_t at = 0; at < s.len;) {
        uint32_t c;
        size_t n = tp_utf8_decode(s.data + at, s.len - at, &c);
        bool blank = n > 0 && is_blank(c);
        at += n ? n : 1;
        if (blank && end == 0) begin = at;
        if (!blank) end = at;
    }
    return end == 0 ? (slice){s.data, 0} : (slice){s.data + begin, end - begin};
}

/* The text of a turn, trimmed if the format says so, after `prefix` (the system message in a user's turn). */
static void put_content(render *r, const tp_chat_turn *turn, const tp_str *prefix, const char *content) {
    tp_str all = {0};
    bool together = r->format->turn[TP_TURN_SYSTEM].trim;
    if (prefix && prefix->len > 0) tp_str_append(together ? &all : &r->out, prefix->data, prefix->len);
    tp_str_append_text(&all, content);
    slice s = {all.data, all.len};
    if (turn->trim) s = strip(s);
    tp_str_append(&r->out, s.data, s.len);
    tp_str_free(&all);
}

/* Qwen3's rules for an assistant's turn: what it thought is shown only after the last question, and the last turn shows
 * empty thoughts if it had none. */
static void put_thoughts(render *r, size_t at, size_t last_user) {
    const char *content = r->messages[at].content, *mark = NULL, *next;
    slice thought = {"", 0}, answer = whole(content);
    const char *first_end = strstr(content, "</think>");
    if (first_end != NULL) {
        for (const char *p = content; (next = strstr(p, "</think>")) != NULL; p = next + 8) mark = next;
        answer = strip_lines(whole(mark + 8), true, false);
        thought = strip_lines((slice){content, (size_t)(first_end - content)}, false, true);
        for (size_t i = 0; i + 7 <= thought.len; i++)
            if (memcmp(thought.data + i, "<think>", 7) == 0) {
                thought = (slice){thought.data + i + 7, thought.len - i - 7};
                i = (size_t)-1; /* from the start of the rest */
            }
        thought = strip_lines(thought, true, false);
    }
    if (at > last_user && (at + 1 == r->n || thought.len > 0)) {
        thought = strip_lines(thought, true, true);
        answer = strip_lines(answer, true, false);
        tp_str_append_text(&r->out, "<think>\n");
        tp_str_append(&r->out, thought.data, thought.len);
        tp_str_append_text(&r->out, "\n</think>\n\n");
    }
    tp_str_append(&r->out, answer.data, answer.len);
}

static int turn_of(const char *role) {
    static const char *const roles[TP_N_TURNS] = {"system", "user", "assistant"};
    for (int i = 0; i < TP_N_TURNS; i++)
        if (strcmp(roles[i], role) == 0) return i;
    return -1;
}

static tp_status check_messages(const render *r) {
    const tp_chat_format *f = r->format;
    if (r->n == 0) return tp_fail(TP_ERR_ARGUMENT, "a chat needs at least one message");
    size_t spoken = 0;
    for (size_t i = 0; i < r->n; i++) {
        int turn = turn_of(r->messages[i].role);
        if (turn < 0)
            return tp_fail(TP_ERR_ARGUMENT, "message %zu has the role \"%.40s\"; known are system, user, assistant",
                           i + 1, r->messages[i].role);
        bool inside = f->system == TP_SYSTEM_FIRST_USER || f->system == TP_SYSTEM_LAST_USER;
        if (turn == TP_TURN_SYSTEM && f->system == TP_SYSTEM_NONE)
            return tp_fail(TP_ERR_ARGUMENT, "the chat template %s has no place for a system message", f->name);
        if (turn == TP_TURN_SYSTEM && i > 0 && inside)
            return tp_fail(TP_ERR_ARGUMENT, "with the chat template %s only the first message can be the system's",
                           f->name);
        if (turn == TP_TURN_SYSTEM) continue;
        if (f->alternate && (turn == TP_TURN_USER) != (spoken % 2 == 0))
            return tp_fail(
                TP_ERR_ARGUMENT,
                "with the chat template %s user and assistant must take turns, the user first; message %zu is "
                "the %s's",
                f->name, i + 1, r->messages[i].role);
        spoken++;
    }
    return TP_OK;
}

static void put_turns(render *r) {
    const tp_chat_format *f = r->format;
    const tp_chat_turn *system = &f->turn[TP_TURN_SYSTEM];
    bool has_system = turn_of(r->messages[0].role) == TP_TURN_SYSTEM;
    bool inside = f->system == TP_SYSTEM_FIRST_USER || f->system == TP_SYSTEM_LAST_USER;
    size_t last_user = r->n - 1;
    while (last_user > 0 && turn_of(r->messages[last_user].role) != TP_TURN_USER) last_user--;
    tp_str prefix = {0};
    if (inside && has_system) tp_str_appendf(&prefix, "%s%s%s", system->before, r->messages[0].content, system->after);
    if (f->bos) put_markup(r, "{bos}");
    if (!has_system && f->fallback && f->system == TP_SYSTEM_TURN) {
        put_markup(r, system->before);
        if (f->preface) put_markup(r, f->preface);
        tp_str_append_text(&r->out, f->fallback);
        put_markup(r, system->after);
    }
    for (size_t i = 0; i < r->n; i++) {
        int turn = turn_of(r->messages[i].role);
        if (turn == TP_TURN_SYSTEM && f->system != TP_SYSTEM_TURN) continue;
        bool first = i == (has_system ? 1u : 0u), last = i + 1 == r->n;
        bool here = turn == TP_TURN_USER && (f->system == TP_SYSTEM_FIRST_USER ? first : last);
        put_markup(r, f->turn[turn].before);
        if (turn == TP_TURN_SYSTEM && i == 0 && f->preface) put_markup(r, f->preface);
        if (f->thinks && turn == TP_TURN_ASSISTANT)
            put_thoughts(r, i, last_user);
        else
            put_content(r, &f->turn[turn], here ? &prefix : NULL, r->messages[i].content);
        put_markup(r, f->turn[turn].after);
    }
    tp_str_free(&prefix);
}

tp_status tp_chat_render(const tp_chat *chat, const tp_chat_message *messages, size_t n, const tp_chat_options *options,
                         tp_chat_text *out) {
    *out = (tp_chat_text){0};
    render r = {.format = &chat->format, .messages = messages, .n = n, .options = options};
    TP_TRY(check_messages(&r));
    put_turns(&r);
    const char *end = options->generate ? chat->format.generate : chat->format.close;
    if (end) put_markup(&r, end);
    out->len = r.out.len;
    out->text = tp_str_take(&r.out);
    out->flags = chat->format.plain ? TP_TOKENS_ADD_SPECIAL : TP_TOKENS_PARSE_SPECIAL;
    return TP_OK;
}

/* `telepathy generate`: continues a text, or answers in a conversation. */
#include "base/file.h"
#include "base/mem.h"
#include "cli/input.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static tp_status continue_text(tp_args *args, const tp_engine *engine, const tp_str *text) {
    tp_input prompt = {0};
    unsigned flags = TP_TOKENS_ADD_SPECIAL | (tp_args_flag(args, "parse-special") ? TP_TOKENS_PARSE_SPECIAL : 0);
    int32_t *ids = tp_engine_tokenize(engine, text->data ? text->data : "", text->len, flags, &prompt.n);
    if (ids == NULL) return tp_last_status();
    prompt.ids = ids;
    const char *cache = tp_args_text(args, "prompt-cache");
    tp_session *session = tp_args_session(args, engine, prompt.n, cache != NULL);
    tp_written written = {0};
    if (session && tp_args_flag(args, "echo") && !tp_args_flag(args, "json")) fwrite(text->data, 1, text->len, stdout);
    tp_status status = session ? TP_OK : tp_last_status();
    if (status == TP_OK && cache && tp_path_exists(cache)) status = tp_session_load(session, cache);
    if (status == TP_OK) status = tp_write(args, session, &prompt, 1, &written);
    if (status == TP_OK && cache) status = tp_session_save(session, cache);
    tp_written_free(&written);
    tp_session_free(session);
    tp_free(ids);
    return status;
}

/* ---- conversations ---- */

typedef struct conversation {
    tp_message *messages;
    size_t n, capacity;
} conversation;

static void add_message(conversation *c, const char *role, const char *text) {
    tp_grow(&c->messages, &c->capacity, c->n, sizeof *c->messages);
    c->messages[c->n++] = (tp_message){.role = role, .content = tp_strdup(text)};
}

/* The answer to the messages so far, which becomes the next message. */
static tp_status answer(tp_args *args, const tp_engine *engine, tp_session *session, conversation *c) {
    int64_t n;
    int32_t *ids = tp_engine_chat(engine, tp_args_text(args, "chat-template"), c->messages, (int64_t)c->n, &n);
    if (ids == NULL) return tp_last_status();
    tp_session *own = session ? NULL : tp_args_session(args, engine, n, false); /* for a single question */
    if (session == NULL) session = own;
    tp_written written = {0};
    tp_status status =
        session ? tp_write(args, session, &(tp_input){.ids = ids, .n = n}, 1, &written) : tp_last_status();
    if (status == TP_OK) add_message(c, "assistant", written.text.data ? written.text.data : "");
    tp_written_free(&written);
    tp_session_free(own);
    tp_free(ids);
    return status;
}

/* Questions from stdin, a line each, until it ends. */
static tp_status converse(tp_args *args, const tp_engine *engine, conversation *c) {
    enum { ROOM = 4096 }; /* of a conversation, unless --ctx says otherwise */
    int64_t most = tp_engine_get_facts(engine)->max_positions, room = most < ROOM ? most : ROOM;
    tp_session *session = tp_session_new_cached(engine, tp_args_given(args, "ctx") ? tp_args_int(args, "ctx") : room,
                                                (tp_cache_type)tp_args_choice(args, "cache-type"));
    if (session == NULL) return tp_last_status();
    bool person = isatty(STDIN_FILENO) && tp_terminal_is(stderr, false);
    char *line = NULL;
    size_t size = 0;
    tp_status status = TP_OK;
    while (status == TP_OK) {
        signal(SIGINT, SIG_DFL); /* while nothing is generated, Ctrl-C just ends the program */
        if (person) fputs("> ", stderr);
        ssize_t n = getline(&line, &size, stdin);
        if (n < 0) break;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = '\0';
        if (n == 0) continue;
        add_message(c, "user", line);
        status = answer(args, engine, session, c);
    }
    if (person) fputc('\n', stderr);
    free(line);
    tp_session_free(session);
    return status;
}

static tp_status chat(tp_args *args, const tp_engine *engine, const tp_str *text, bool given) {
    conversation c = {0};
    if (tp_args_given(args, "system")) add_message(&c, "system", tp_args_text(args, "system"));
    if (given) add_message(&c, "user", text->data ? text->data : "");
    tp_status status = given ? answer(args, engine, NULL, &c) : converse(args, engine, &c);
    for (size_t i = 0; i < c.n; i++) tp_free((void *)(uintptr_t)c.messages[i].content);
    tp_free(c.messages);
    return status;
}

static tp_status run(tp_args *args) {
    bool chats = tp_args_flag(args, "chat") || tp_args_given(args, "chat-template") || tp_args_given(args, "system");
    bool given = tp_args_text(args, "prompt") || tp_args_text(args, "file");
    tp_str text = {0};
    tp_status status = tp_args_prompt(args, !chats, &text);
    tp_engine *engine = status == TP_OK ? tp_args_engine(args, 0) : NULL;
    if (status == TP_OK && engine == NULL) status = tp_last_status();
    if (status == TP_OK) status = chats ? chat(args, engine, &text, given) : continue_text(args, engine, &text);
    tp_engine_free(engine);
    tp_str_free(&text);
    return status;
}

const tp_command tp_cmd_generate = {
    .name = "generate",
    .summary = "continue a text with a model, or talk to it",
    .text =
        "Writes what the model makes of a text, token by token as it comes. The next token is drawn among the "
        "likeliest: --repeat-penalty, --top-k, --top-p, --min-p and --temp narrow and weigh them, in this order "
        "(llama.cpp's, whose defaults these are). The same --seed gives the same text; the number of threads may "
        "change the last bits of the model's own numbers unless --math is f32. --temp 0 always takes the likeliest "
        "token.\n\n"
        "Characters are written whole: bytes that are none become U+FFFD. Text that may be the beginning of a --stop "
        "text is held back until that is decided.\n\n"
        "With --chat the text is a question, put as the model's own chat template has it; without a text the questions "
        "are lines of stdin, and each answer goes on from what was said before. Ctrl-C ends an answer.",
    .examples = "telepathy generate models/wren -p \"The capital of France\" -n 32\n"
                "telepathy generate -m models/wren -f story.txt -n 200 --temp 0.6 --stop \"The End\"\n"
                "echo \"Once upon a time\" | telepathy generate models/wren -p - --seed 7\n"
                "telepathy generate org/model --chat -p \"Why is the sky blue?\"\n",
    .options =
        (const tp_option[]){
            TP_OPTION_MODEL,
            TP_OPTION_PROMPT,
            TP_OPTION_FILE,
            TP_OPTIONS_GENERATION,
            {.name = "echo", .type = TP_OPT_FLAG, .help = "write the text itself first"},
            {.name = "prompt-cache",
             .type = TP_OPT_PATH,
             .value = "FILE",
             .help = "what was read and written is kept here, and what a text shares with it is not read again"},
            {.name = "parse-special",
             .type = TP_OPT_FLAG,
             .help = "special tokens written out in the text become their ids"},
            {.name = "chat", .type = TP_OPT_FLAG, .help = "the text is a question; use the model's chat template"},
            {.name = "chat-template",
             .type = TP_OPT_TEXT,
             .value = "NAME",
             .help =
                 "the chat format to use (docs/chat.md lists them), or a file with a template; means --chat; that of "
                 "llama3.1 names a date, which is its own default, 26 Jul 2024"},
            {.name = "system",
             .type = TP_OPT_TEXT,
             .help = "what the model is told before all questions; means --chat"},
            TP_OPTION_MATH("bf16"),
            TP_OPTION_MLOCK,
            {0},
        },
    .run = run,
};

/* libFuzzer: any bytes as a chat template are recognised or refused with a sentence, and any messages are rendered or
 * refused. The first byte chooses: bytes as a template's text, as a file with a template, or as messages for a named
 * format (cut at bytes below 4, which say whose turn it is). */
#include "base/mem.h"
#include "base/str.h"
#include "memory_file.h"
#include "text/chat.h"

#include <string.h>

static void render(const tp_chat *chat, const tp_chat_message *messages, size_t n, bool generate) {
    const tp_chat_options options = {.generate = generate, .bos = "<s>", .eos = "</s>"};
    tp_chat_text out;
    if (tp_chat_render(chat, messages, n, &options, &out) != TP_OK) {
        must(out.text == NULL && strlen(tp_last_error()) > 10);
        return;
    }
    must(out.text != NULL && strlen(out.text) == out.len);
    tp_free(out.text);
}

static void try_template(const char *text, const char *path) {
    tp_chat *chat = tp_chat_choose(path, text, NULL);
    if (chat == NULL) {
        must(strlen(tp_last_error()) > 10);
        return;
    }
    const tp_chat_message messages[] = {
        {"system", " s "}, {"user", "u"}, {"assistant", "<think>a</think>b"}, {"user", ""}};
    for (size_t first = 0; first < 2; first++)
        for (size_t n = 1; first + n <= 4; n++) render(chat, messages + first, n, n % 2);
    tp_chat_free(chat);
}

static void try_messages(const tp_chat *chat, char *text, size_t n) {
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    tp_chat_message messages[16];
    size_t n_messages = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < 0 || text[i] >= 4) continue;
        int role = text[i];
        text[i] = '\0';
        if (n_messages < 16) messages[n_messages++] = (tp_chat_message){roles[role], text + i + 1};
    }
    render(chat, messages, n_messages, n % 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    char *text = tp_strndup((const char *)data + 1, size - 1);
    if (data[0] < 100) {
        try_template(text, NULL);
    } else if (data[0] < 120) {
        try_template(NULL, memory_file(data + 1, size - 1, NULL, 0));
    } else {
        size_t n = 0;
        while (tp_chat_known(n)) n++;
        tp_chat *chat = tp_chat_choose(tp_chat_known(data[0] % n), NULL, NULL);
        must(chat != NULL);
        try_messages(chat, text, size - 1);
        tp_chat_free(chat);
    }
    tp_free(text);
    return 0;
}

/* Chat templates: from messages to the text that a chat model was trained on.
 *
 * Checkpoints carry a program for this (a Jinja template). We run none of it: the families use a dozen formats between
 * them, which stand in a table here, and a checkpoint's own template only serves to recognise which one it is, down to
 * its default system prompt and whether BOS comes first. A template that is not recognised is an error that lists the
 * formats; it is never guessed at, since a model fed a foreign format answers badly without anybody seeing why. What is
 * rendered is, byte for byte, what `apply_chat_template` of Hugging Face transformers renders (docs/chat.md). */
#ifndef TP_TEXT_CHAT_H
#define TP_TEXT_CHAT_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct tp_chat tp_chat; /* a format that was chosen; immutable, usable by many threads */

typedef struct tp_chat_message {
    const char *role; /* "system", "user" or "assistant" */
    const char *content;
} tp_chat_message;

/* The format of a model. `name` picks one by its name; NULL: the one that the template asks for. `template_text` is the
 * checkpoint's own template where the caller has it (GGUF: tokenizer.chat_template); NULL: it is looked for in `folder`
 * (chat_template.jinja, else tokenizer_config.json), which may be NULL too. `name` may also be the path of a file that
 * holds a template. NULL with an error if there is no template, or none that is known; free with tp_chat_free. */
tp_chat *tp_chat_choose(const char *name, const char *template_text, const char *folder);
void tp_chat_free(tp_chat *chat); /* takes NULL */

const char *tp_chat_name(const tp_chat *chat); /* "chatml", "llama3", ... */

/* The names of all formats, one by one; NULL behind the last. */
const char *tp_chat_known(size_t i);

typedef struct tp_chat_options {
    bool generate;   /* end with the head of the assistant's next turn */
    const char *bos; /* the tokenizer's BOS and EOS as written ("<s>", "</s>"); NULL: it has none */
    const char *eos;
    const char *date; /* what formats that tell the date say ("26 Jul 2024"); NULL: what their templates fall back to */
} tp_chat_options;

typedef struct tp_chat_text {
    char *text; /* zero-terminated; free with tp_free */
    size_t len;
    unsigned flags; /* for tp_tokenizer_encode: special tokens are parsed, and not added (BOS is in the text if the
                       model wants it there), except for "plain", where it is the other way round */
} tp_chat_text;

/* Renders n messages. Errors are those that the templates raise: roles out of order where they must alternate, a system
 * message where there is no place for one; and unknown roles. */
tp_status tp_chat_render(const tp_chat *chat, const tp_chat_message *messages, size_t n, const tp_chat_options *options,
                         tp_chat_text *out);

#endif

/* The inside of a chat format, shared by what renders it (chat.c) and what recognises it (chat_recognise.c). */
#ifndef TP_TEXT_CHAT_PARTS_H
#define TP_TEXT_CHAT_PARTS_H

#include "text/chat.h"

typedef enum tp_chat_system {
    TP_SYSTEM_TURN,       /* a turn like the others */
    TP_SYSTEM_FIRST_USER, /* in front of the first user's text */
    TP_SYSTEM_LAST_USER,  /* in front of the last message's text, if that is the user's */
    TP_SYSTEM_NONE,       /* refused */
    TP_SYSTEM_IGNORED,    /* dropped in silence, as the template does */
} tp_chat_system;

enum { TP_TURN_SYSTEM, TP_TURN_USER, TP_TURN_ASSISTANT, TP_N_TURNS };

typedef struct tp_chat_turn {
    const char *before, *after; /* with {bos} and {eos} where those stand */
    bool trim; /* blanks at the ends of the text are dropped; of a system message inside a user's turn: with its text */
} tp_chat_turn;

/* One row of the table. */
typedef struct tp_chat_format {
    const char *name;
    tp_chat_turn turn[TP_N_TURNS]; /* of the system: what stands around it wherever it is put */
    tp_chat_system system;
    bool bos;              /* BOS comes first */
    bool alternate;        /* user and assistant must take turns, the user first */
    bool thinks;           /* Qwen3: earlier turns lose what stands in <think> */
    bool plain;            /* no special tokens */
    const char *generate;  /* the head of the assistant's next turn; NULL: none */
    const char *close;     /* what ends the text when no turn is to follow; NULL: nothing */
    const char *fallback;  /* the system message if there is none; NULL: none */
    const char *preface;   /* what the first system message begins with; NULL: nothing */
    const char *marks[4];  /* all of these stand in a template of this format; none: it is chosen by name only */
    const char *unless[4]; /* and none of these */
} tp_chat_format;

extern const tp_chat_format tp_chat_formats[]; /* ends with a row of zeros; the first that fits counts */

struct tp_chat {
    tp_chat_format format; /* a row, with what the template has otherwise */
    char *fallback;        /* owned: what format.fallback points to, if it came from the template */
};

/* Finds the row for a template and fills in the details; `where` is what messages call it. */
tp_status tp_chat_recognise(tp_chat *chat, const char *template_text, const char *where);
/* The template in a folder, owned by the caller; *where gets the file's path, owned by the caller. Without one both are
 * NULL and the status is TP_OK. */
tp_status tp_chat_read_template(const char *folder, char **template_text, char **where);
/* "chatml, llama2, ..."; owned by the caller. */
char *tp_chat_name_list(void);

#endif

/* generate MODEL TEXT [N]: continues a text with the N (default 64) most likely tokens, one by one as they come.
 *
 *     cc generate.c -o generate $(pkg-config --cflags --libs telepathy) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <telepathy.h>

static bool print(void *engine, int32_t id) {
    size_t n;
    const char *bytes = tp_engine_piece(engine, id, &n);
    if (bytes) fwrite(bytes, 1, n, stdout);
    fflush(stdout);
    return !ferror(stdout); /* nobody reads any more: stop */
}

static tp_status run(tp_engine *engine, const char *text, int64_t max_new) {
    tp_input prompt = {0};
    int32_t *ids = tp_engine_tokenize(engine, text, strlen(text), TP_TOKENS_ADD_SPECIAL, &prompt.n);
    prompt.ids = ids;
    tp_session *session = ids ? tp_session_new(engine, prompt.n + max_new) : NULL;
    tp_status status = session ? tp_session_feed(session, &prompt, 1) : tp_last_status();
    if (status == TP_OK) {
        printf("%s", text);
        status = tp_session_generate(session, max_new, print, engine);
        printf("\n");
    }
    tp_session_free(session);
    tp_free(ids);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: generate MODEL TEXT [N]\n");
        return 2;
    }
    tp_engine *engine = tp_engine_load(argv[1], 0);
    tp_status status = engine ? run(engine, argv[2], argc > 3 ? atoll(argv[3]) : 64) : tp_last_status();
    if (status != TP_OK) fprintf(stderr, "generate: %s\n", tp_last_error());
    tp_engine_free(engine);
    return status != TP_OK;
}

/* generate MODEL TEXT [N [SEED]]: continues a text with N (default 64) tokens, shown one by one as they come: the most
 * likely ones, or with a seed drawn ones.
 *
 *     cc generate.c -o generate $(pkg-config --cflags --libs telepathy) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <telepathy.h>

static bool print(void *context, const char *text, size_t n) {
    (void)context;
    fwrite(text, 1, n, stdout);
    return fflush(stdout) == 0; /* nobody reads any more: stop */
}

static tp_status run(tp_engine *engine, const char *text, const tp_generation *options) {
    tp_input prompt = {0};
    int32_t *ids = tp_engine_tokenize(engine, text, strlen(text), TP_TOKENS_ADD_SPECIAL, &prompt.n);
    prompt.ids = ids;
    tp_session *session = ids ? tp_session_new(engine, prompt.n + options->max_new) : NULL;
    tp_status status = session ? tp_session_feed(session, &prompt, 1) : tp_last_status();
    if (status == TP_OK) {
        printf("%s", text);
        status = tp_session_generate(session, options, NULL);
        printf("\n");
    }
    tp_session_free(session);
    tp_free(ids);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 3 || argc > 5) {
        fprintf(stderr, "usage: generate MODEL TEXT [N [SEED]]\n");
        return 2;
    }
    tp_generation options = {.max_new = argc > 3 ? atoll(argv[3]) : 64, .on_text = print};
    if (argc > 4)
        options.sampling = (tp_sampling){.temperature = 0.8, .top_k = 40, .seed = strtoull(argv[4], NULL, 10)};
    tp_engine *engine = tp_engine_load(argv[1], 0);
    tp_status status = engine ? run(engine, argv[2], &options) : tp_last_status();
    if (status != TP_OK) fprintf(stderr, "generate: %s\n", tp_last_error());
    tp_engine_free(engine);
    return status != TP_OK;
}

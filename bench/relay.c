/* A whole latent relay between two models of any size: milliseconds of each phase, and the memory that the process ever
 * held. The bridge is new and random (a perceiver of 8 soft tokens, the recipe's defaults), and so are the ids of the
 * text: what is computed does not depend on either, and no tokenizer is needed.
 *
 *     build/bench_relay SENDER RECEIVER [tokens of the text, 128] [tokens of the answer, 8] [rounds, 3]
 *
 * With one thread (OMP_NUM_THREADS=1) milliseconds are of processor time, which other programs disturb less.
 * Memory is counted as the system does (VmHWM): what the process holds by itself, and the pages of the models' files
 * that it has touched, which the system may take back. Of the sender that is the half below the tapped layer. */
#include "undisturbed.h"

#include "base/mem.h"
#include "bridge/bridge.h"
#include "bridge/tap.h"
#include "lm/generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SENDER, BRIDGE, READS, WRITES, N_PHASES };

static const char *const phases[N_PHASES] = {"sender", "bridge", "receiver reads", "receiver writes"};

typedef struct {
    tp_lm *sender, *receiver;
    tp_bridge *bridge;
    int64_t n_text, n_answer;
    double ms[N_PHASES];
} relay;

static void fail(void) {
    fprintf(stderr, "bench_relay: %s\n", tp_last_error());
    exit(1);
}

/* A number of kB that the system tells of this process. */
static double told_mib(const char *key) {
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    double kb = 0;
    size_t n = strlen(key);
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, n) == 0 && line[n] == ':') kb = atof(line + n + 1);
    if (f) fclose(f);
    return kb / 1024;
}

static void print_memory(const char *when) {
    printf("%-22s %8.0f MiB at most; now %.0f of its own and %.0f of files\n", when, told_mib("VmHWM"),
           told_mib("RssAnon"), told_mib("RssFile"));
}

static tp_lm *load(const char *path) {
    double start = undisturbed_now();
    tp_lm *lm = tp_lm_load(path, false);
    if (lm == NULL) fail();
    printf("%s: %s, %d layers of width %d, %.2f billion parameters, loaded in %.0f ms\n", path,
           tp_lm_family_name(lm->config.family), lm->config.n_layers, lm->config.d_model,
           (double)tp_lm_n_parameters(lm) / 1e9, 1e3 * (undisturbed_now() - start));
    return lm;
}

static tp_bridge *random_bridge(const tp_lm *sender, const tp_lm *receiver) {
    json_t *empty = json_object();
    tp_recipe *recipe = tp_recipe_from_json(empty, "defaults");
    json_decref(empty);
    if (recipe == NULL) fail();
    tp_recipe_complete(recipe, 4, NULL);
    tp_bridge *bridge = tp_bridge_new(&recipe->bridge, sender->config.d_model, receiver->config.d_model, NULL, 1);
    if (bridge == NULL) fail();
    *tp_weight_values(&bridge->scale) = 0.02f; /* about what embeddings have */
    tp_recipe_free(recipe);
    return bridge;
}

/* Adds the time since *start to a phase, and starts anew. */
static void add_time(relay *r, int phase, double *start) {
    double now = undisturbed_now();
    r->ms[phase] += 1e3 * (now - *start);
    *start = now;
}

static void send_once(relay *r) {
    int64_t d = r->sender->config.d_model, width = r->receiver->config.d_model;
    tp_tape *tape = tp_tape_new(TP_MATH_BF16);
    tape->frozen = true;
    const tp_tap tap = {.sender = r->sender, .layer = r->sender->config.n_layers / 2, .math = TP_MATH_BF16};
    int32_t *ids = tp_alloc((size_t)r->n_text * sizeof *ids);
    for (int64_t i = 0; i < r->n_text; i++) ids[i] = (int32_t)(7919 * i % r->sender->config.vocab_size);
    float *hidden = tp_alloc((size_t)(r->n_text * d) * sizeof *hidden);
    double start = undisturbed_now();
    tp_tap_run(&tap, tape, ids, r->n_text, hidden);
    add_time(r, SENDER, &start);
    tp_tape_reset(tape);
    tp_var *states = tp_var_wrap(tape, hidden, r->n_text, d);
    tp_var *soft = tp_bridge_forward(tape, r->bridge, states, (const int64_t[]){0, r->n_text}, 1);
    int64_t n = 1 + soft->rows; /* BOS, or any other id, and the soft tokens */
    float *rows = tp_alloc((size_t)(n * width) * sizeof *rows);
    tp_lm_embedding_row(r->receiver, r->receiver->config.bos_id > 0 ? r->receiver->config.bos_id : 1, rows);
    memcpy(rows + width, soft->data, (size_t)(soft->rows * width) * sizeof *rows);
    add_time(r, BRIDGE, &start);
    tp_prompts prompts = {.rows = rows, .offsets = (const int64_t[]){0, n}, .n = 1};
    for (int phase = READS; phase <= WRITES; phase++) { /* one id is known as soon as all is read */
        tp_ids answer = {0};
        if (tp_generate_greedy(r->receiver, TP_MATH_BF16, &prompts, phase == READS ? 1 : r->n_answer, &answer)) fail();
        tp_ids_free(&answer);
        add_time(r, phase, &start);
    }
    tp_tape_free(tape);
    tp_free(rows);
    tp_free(hidden);
    tp_free(ids);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 3) {
        fprintf(stderr, "usage: bench_relay SENDER RECEIVER [tokens of the text] [tokens of the answer] [rounds]\n");
        return 2;
    }
    relay r = {.sender = load(argv[1]),
               .receiver = load(argv[2]),
               .n_text = argc > 3 ? atoll(argv[3]) : 128,
               .n_answer = argc > 4 ? atoll(argv[4]) : 8};
    int rounds = argc > 5 ? atoi(argv[5]) : 3;
    if (r.n_text < 1 || r.n_answer < 1 || rounds < 1) return 2;
    r.bridge = random_bridge(r.sender, r.receiver);
    printf("bridge: %.1f million parameters, %d soft tokens from layer %d\n\n",
           (double)tp_bridge_n_parameters(r.bridge) / 1e6, r.bridge->recipe.soft_tokens, r.sender->config.n_layers / 2);
    print_memory("loaded:");
    printf("\n%-8s", "round");
    for (int p = 0; p < N_PHASES; p++) printf("%16s ms", phases[p]);
    printf("\n");
    send_once(&r); /* not counted: what files cost that are read for the first time is the disk's */
    for (int i = 1; i <= rounds; i++) {
        memset(r.ms, 0, sizeof r.ms);
        send_once(&r);
        r.ms[WRITES] -= r.ms[READS]; /* it read all of it again */
        printf("%-8d", i);
        for (int p = 0; p < N_PHASES; p++) printf("%19.1f", r.ms[p]);
        printf("\n");
    }
    printf("(%lld tokens of text, %lld of answer)\n\n", (long long)r.n_text, (long long)r.n_answer);
    print_memory("after the relays:");
    tp_bridge_free(r.bridge);
    tp_lm_free(r.sender);
    tp_lm_free(r.receiver);
    return 0;
}

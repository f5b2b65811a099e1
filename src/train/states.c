/* Hidden states of a frozen sender and their cache. See states.h. */
#include "train/states.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <omp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct tp_state_cache {
    tp_tap tap;
    tp_cache_kind kind;
    int64_t max_bytes;
    size_t n;
    tp_ids tokens;    /* of all prompts, end to end */
    int64_t *offsets; /* [n + 1] into tokens, and so (times the tap's width) into all states */
    float **kept;     /* [n]: states of a text, NULL if not held; memory kind owns them */
    tp_tape **tapes;  /* one per thread */
    int n_tapes;
    unsigned char *mapped; /* disk kind: the whole file */
    size_t mapped_bytes;
    tp_state_cache_info info;
};

/* The file of the disk kind: this header, for each text the hash of its states (0: they are not there yet), and from
 * the next multiple of 4096 the states of all texts in order. */
typedef struct {
    char magic[8];
    char key[40];                     /* fingerprint of all that decides the states */
    int64_t n_texts, n_tokens, width; /* width: of a token's states */
} file_header;

static const char file_magic[8] = "TPSTAT2";

static void cache_key(const tp_state_cache *c, char key[33]) {
    tp_hash *h = tp_hash_new();
    tp_hash_add_text(h, c->tap.sender->fingerprint);
    int64_t numbers[2] = {c->tap.layer, (int64_t)c->tap.math};
    tp_hash_add(h, numbers, sizeof numbers);
    for (int l = 0; l < c->tap.n_layers; l++) tp_hash_add(h, &c->tap.layers[l], sizeof *c->tap.layers);
    if (c->tap.segment > 0) tp_hash_add(h, &c->tap.segment, sizeof c->tap.segment);
    tp_hash_add(h, c->offsets, (c->n + 1) * sizeof *c->offsets);
    tp_hash_add(h, c->tokens.data, c->tokens.len * sizeof *c->tokens.data);
    tp_hash_end(h, key);
}

static size_t states_begin(size_t n) {
    return (sizeof(file_header) + n * sizeof(uint64_t) + 4095) / 4096 * 4096;
}

static int64_t bytes_of(const tp_state_cache *c, int64_t i) {
    return (c->offsets[i + 1] - c->offsets[i]) * tp_tap_width(&c->tap) * (int64_t)sizeof(float);
}

/* The hash that says in a file that a text's states are there, and what they are. Never 0. */
static uint64_t hash_states(const tp_state_cache *c, int64_t i, const float *states) {
    uint64_t hash = tp_hash64(states, (size_t)bytes_of(c, i));
    return hash ? hash : 1;
}

static tp_status map_disk(tp_state_cache *c, const char *path) {
    int64_t d = tp_tap_width(&c->tap);
    file_header wanted = {.key = "", .n_texts = (int64_t)c->n, .n_tokens = c->offsets[c->n], .width = d};
    memcpy(wanted.magic, file_magic, sizeof file_magic);
    cache_key(c, wanted.key);
    c->mapped_bytes = states_begin(c->n) + (size_t)(c->offsets[c->n] * d) * sizeof(float);
    if ((int64_t)c->mapped_bytes > c->max_bytes)
        return tp_fail(TP_ERR_ARGUMENT, "the states of all texts take %zu bytes on disk, `cache.max_bytes` allows %lld",
                       c->mapped_bytes, (long long)c->max_bytes);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return tp_fail(TP_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    file_header found = {.key = ""};
    bool usable = c->tap.sender->fingerprint[0] && pread(fd, &found, sizeof found, 0) == (ssize_t)sizeof found &&
                  memcmp(&found, &wanted, sizeof wanted) == 0 && tp_file_size(path) == (int64_t)c->mapped_bytes;
    int failed = 0;
    if (!usable)
        failed = ftruncate(fd, 0) != 0 || ftruncate(fd, (off_t)c->mapped_bytes) != 0 ||
                 pwrite(fd, &wanted, sizeof wanted, 0) != (ssize_t)sizeof wanted;
    /* Blocks are asked for now: a full disk must be an error here, not a signal when a page is written later. */
    if (!failed) failed = errno = posix_fallocate(fd, 0, (off_t)c->mapped_bytes);
    void *p = failed ? MAP_FAILED : mmap(NULL, c->mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int error = errno;
    struct stat st;
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    close(fd);
    if (p == MAP_FAILED) {
        if (!usable && regular) unlink(path); /* a part of a file helps nobody on a full disk */
        return tp_fail(TP_ERR_IO, "cannot make room for the states in %s: %s", path, strerror(error));
    }
    c->mapped = p;
    return TP_OK;
}

static uint64_t *file_hashes(const tp_state_cache *c) {
    return (uint64_t *)(void *)(c->mapped + sizeof(file_header));
}

static float *mapped_states(const tp_state_cache *c, int64_t i) {
    return (float *)(void *)(c->mapped + states_begin(c->n)) + c->offsets[i] * tp_tap_width(&c->tap);
}

static tp_status tokenise(tp_state_cache *c, const tp_example *examples) {
    c->offsets = tp_alloc((c->n + 1) * sizeof *c->offsets);
    for (size_t i = 0; i < c->n; i++) {
        bool cut;
        TP_TRY(tp_tap_tokens(&c->tap, examples[i].text, examples[i].len, &c->tokens, &cut));
        c->info.n_truncated += cut;
        c->offsets[i + 1] = (int64_t)c->tokens.len;
    }
    c->info.n_texts = (int64_t)c->n;
    c->info.n_tokens = (int64_t)c->tokens.len;
    return TP_OK;
}

/* Takes what an earlier run left in the file, as far as it is sound. */
static void adopt_file(tp_state_cache *c) {
    int64_t n_kept = 0, bytes = 0;
#pragma omp parallel for reduction(+ : n_kept, bytes)
    for (size_t i = 0; i < c->n; i++) {
        uint64_t hash = file_hashes(c)[i];
        float *states = mapped_states(c, (int64_t)i);
        if (hash == 0 || hash != hash_states(c, (int64_t)i, states)) continue;
        c->kept[i] = states;
        bytes += bytes_of(c, (int64_t)i);
        n_kept++;
    }
    c->info.n_kept = n_kept;
    c->info.bytes = bytes;
}

static int64_t most_bytes(const tp_state_cache *c) {
    int64_t all = c->info.n_tokens * tp_tap_width(&c->tap) * (int64_t)sizeof(float);
    if (c->kind == TP_CACHE_NONE) return 0;
    if (c->kind == TP_CACHE_DISK) return (int64_t)c->mapped_bytes;
    return all < c->max_bytes ? all : c->max_bytes;
}

tp_state_cache *tp_state_cache_new(const tp_tap *tap, const tp_example *examples, size_t n, tp_cache_kind kind,
                                   int64_t max_bytes, const char *path) {
    tp_state_cache *c = tp_alloc(sizeof *c);
    *c = (tp_state_cache){.tap = *tap, .kind = kind, .max_bytes = max_bytes, .n = n};
    c->kept = tp_alloc(n * sizeof *c->kept);
    tp_status status = tokenise(c, examples);
    if (status == TP_OK && kind == TP_CACHE_DISK && n > 0) {
        status = map_disk(c, path);
        if (status == TP_OK) adopt_file(c);
    }
    c->info.most_bytes = most_bytes(c);
    if (status == TP_OK) return c;
    tp_state_cache_free(c);
    return NULL;
}

void tp_state_cache_free(tp_state_cache *c) {
    if (c == NULL) return;
    for (size_t i = 0; i < c->n && c->mapped == NULL; i++) tp_free(c->kept[i]);
    for (int t = 0; t < c->n_tapes; t++) tp_tape_free(c->tapes[t]);
    if (c->mapped) munmap(c->mapped, c->mapped_bytes);
    tp_free(c->kept);
    tp_free(c->tapes);
    tp_free(c->offsets);
    tp_ids_free(&c->tokens);
    tp_free(c);
}

/* Remembers the states of text i if there is room. */
static void keep(tp_state_cache *c, int64_t i, const float *states) {
    int64_t bytes = bytes_of(c, i);
    if (c->kept[i] || c->kind == TP_CACHE_NONE) return;
    if (c->kind == TP_CACHE_MEMORY && c->info.bytes + bytes > c->max_bytes) return;
    c->kept[i] = c->kind == TP_CACHE_DISK ? mapped_states(c, i) : tp_alloc((size_t)bytes);
    memcpy(c->kept[i], states, (size_t)bytes);
    if (c->kind == TP_CACHE_DISK) file_hashes(c)[i] = hash_states(c, i, states);
    c->info.bytes += bytes;
    c->info.n_kept++;
}

/* A tape for each thread there may be: their number may have changed since the last time. */
static void make_tapes(tp_state_cache *c, int n) {
    if (n <= c->n_tapes) return;
    c->tapes = tp_realloc(c->tapes, (size_t)n * sizeof(tp_tape *));
    for (; c->n_tapes < n; c->n_tapes++) {
        c->tapes[c->n_tapes] = tp_tape_new(c->tap.math);
        c->tapes[c->n_tapes]->frozen = true;
    }
}

tp_var *tp_state_cache_fetch(tp_state_cache *c, tp_tape *tape, const int64_t *indices, int64_t n,
                             const int64_t **offsets) {
    int64_t d = tp_tap_width(&c->tap), *at = tp_arena_alloc(tape->arena, (size_t)(n + 1) * sizeof *at);
    at[0] = 0;
    for (int64_t i = 0; i < n; i++) at[i + 1] = at[i] + c->offsets[indices[i] + 1] - c->offsets[indices[i]];
    tp_var *out = tp_var_new(tape, at[n], d);
    int64_t computed = 0;
    int n_threads = omp_get_max_threads();
    make_tapes(c, n_threads);
#pragma omp parallel for schedule(dynamic) reduction(+ : computed) num_threads(n_threads)
    for (int64_t i = 0; i < n; i++) {
        float *rows = out->data + at[i] * d;
        int64_t length = at[i + 1] - at[i];
        if (c->kept[indices[i]]) {
            memcpy(rows, c->kept[indices[i]], (size_t)(length * d) * sizeof(float));
        } else {
            tp_tap_run(&c->tap, c->tapes[omp_get_thread_num()], c->tokens.data + c->offsets[indices[i]], length, rows);
            computed++;
        }
    }
    for (int64_t i = 0; i < n; i++) keep(c, indices[i], out->data + at[i] * d);
    c->info.n_computed += computed;
    *offsets = at;
    return out;
}

const int32_t *tp_state_cache_ids(const tp_state_cache *c, int64_t index) {
    return c->tokens.data + c->offsets[index];
}

tp_state_cache_info tp_state_cache_describe(const tp_state_cache *cache) {
    return cache->info;
}

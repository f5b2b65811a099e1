/* train/states and bridge/tap: a text's hidden states are the same bits wherever they come from (memory, disk, computed
 * again), in whatever batch, on however many threads; caches keep their bounds; a file is used again only if it is of
 * the same states, and sound; prompts are cut without losing their template. */
#include "tiny_pair.h"

#include "base/str.h"
#include "bridge/tap.h"
#include "train/states.h"

#include <math.h>
#include <omp.h>
#include <signal.h>
#include <sys/resource.h>

enum { N_TEXTS = 40, LAYER = 2 };

static char *dir;
static tp_lm *sender, *receiver;
static tp_example examples[N_TEXTS];
static char texts[N_TEXTS][400];
static tp_tap tap;

static int set_up(void **state) {
    (void)state;
    dir = check_temp_dir();
    tiny_pair_make(dir);
    sender = tiny_pair_load(dir, "sender");
    receiver = tiny_pair_load(dir, "receiver");
    for (int i = 0; i < N_TEXTS; i++) { /* of different lengths; some more than twice max_tokens */
        for (int j = 0; j <= i % 7; j++) tiny_pair_text(i + 5 * j, texts[i] + strlen(texts[i]), 50);
        examples[i] = (tp_example){.text = texts[i], .len = strlen(texts[i])};
    }
    tap = (tp_tap){.sender = sender,
                   .layer = LAYER,
                   .prompt = "Text: {text}\nKind:",
                   .max_tokens = 48,
                   .truncate = TP_SIDE_RIGHT,
                   .math = TP_MATH_F32};
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tp_lm_free(sender);
    tp_lm_free(receiver);
    check_remove_dir(dir);
    return 0;
}

/* All texts' states as tp_tap_run gives them, one after the other; where each begins (in rows) in `begins`. */
static float *reference(const tp_tap *t, int64_t begins[N_TEXTS + 1]) {
    tp_tape *tape = tp_tape_new(t->math);
    tape->frozen = true;
    int64_t d = tp_tap_width(t);
    float *all = NULL;
    begins[0] = 0;
    for (int i = 0; i < N_TEXTS; i++) {
        tp_ids ids = {0};
        check_ok(tp_tap_tokens(t, examples[i].text, examples[i].len, &ids, NULL));
        begins[i + 1] = begins[i] + (int64_t)ids.len;
        all = tp_realloc(all, (size_t)(begins[i + 1] * d) * sizeof(float));
        tp_tap_run(t, tape, ids.data, (int64_t)ids.len, all + begins[i] * d);
        tp_ids_free(&ids);
    }
    tp_tape_free(tape);
    return all;
}

static tp_state_cache *open_cache(const tp_tap *t, tp_cache_kind kind, int64_t max_bytes, const char *path) {
    tp_state_cache *c = tp_state_cache_new(t, examples, N_TEXTS, kind, max_bytes, path);
    check_not_null(c);
    return c;
}

/* Fetches these texts and compares them with the reference, bit by bit. */
static void check_fetch(tp_state_cache *c, const int64_t *indices, int64_t n, const float *all, const int64_t *begins) {
    tp_tape *tape = tp_tape_new(TP_MATH_F32);
    const int64_t *offsets;
    tp_var *x = tp_state_cache_fetch(c, tape, indices, n, &offsets);
    assert_false(x->wants_grad);
    assert_int_equal(offsets[0], 0);
    assert_int_equal(offsets[n], x->rows);
    for (int64_t i = 0; i < n; i++) {
        int64_t rows = begins[indices[i] + 1] - begins[indices[i]];
        assert_int_equal(offsets[i + 1] - offsets[i], rows);
        assert_memory_equal(x->data + offsets[i] * x->cols, all + begins[indices[i]] * x->cols,
                            (size_t)(rows * x->cols) * sizeof(float));
    }
    tp_tape_free(tape);
}

/* Every text in batches of different sizes, some of them twice in a batch, twice over. */
static void check_all(tp_state_cache *c, const float *all, const int64_t *begins) {
    int64_t indices[16];
    for (int round = 0; round < 2; round++)
        for (int64_t from = 0; from < N_TEXTS; from += 1 + from % 5) {
            int64_t n = 1 + from % 5;
            for (int64_t i = 0; i < n; i++) indices[i] = (from + i) % N_TEXTS;
            indices[n] = from;
            check_fetch(c, indices, n + 1, all, begins);
        }
}

static void memory_disk_and_none_give_the_same_bits(void **state) {
    (void)state;
    char *path = tp_path_join(dir, "same.cache");
    for (int math = 0; math < 2; math++) {
        tp_tap t = tap;
        t.math = math ? TP_MATH_BF16 : TP_MATH_F32;
        int64_t begins[N_TEXTS + 1];
        float *all = reference(&t, begins);
        int64_t everything = begins[N_TEXTS] * sender->config.d_model * (int64_t)sizeof(float);
        const tp_cache_kind kinds[] = {TP_CACHE_MEMORY, TP_CACHE_DISK, TP_CACHE_NONE};
        for (int k = 0; k < 3; k++) {
            tp_state_cache *c = open_cache(&t, kinds[k], 1 << 20, path);
            check_all(c, all, begins);
            tp_state_cache_info info = tp_state_cache_describe(c);
            assert_int_equal(info.n_texts, N_TEXTS);
            assert_int_equal(info.n_tokens, begins[N_TEXTS]);
            assert_int_equal(info.n_kept, kinds[k] == TP_CACHE_NONE ? 0 : N_TEXTS);
            assert_int_equal(info.bytes, kinds[k] == TP_CACHE_NONE ? 0 : everything);
            assert_true(info.bytes <= info.most_bytes && info.most_bytes <= 1 << 20);
            tp_state_cache_free(c);
        }
        tp_free(all);
    }
    free(path);
}

/* Several layers in one pass: side by side the bits of each by itself, in memory and on disk; a file is of its layers.
 */
static void several_layers_are_their_layers_side_by_side(void **state) {
    (void)state;
    static const int layers[] = {0, 2, 4}, others[] = {1, 2, 4};
    char *path = tp_path_join(dir, "layers.cache");
    int64_t begins[N_TEXTS + 1], same[N_TEXTS + 1], d = sender->config.d_model;
    tp_tap t = tap;
    t.layers = layers;
    t.n_layers = 3;
    t.layer = 4;
    assert_int_equal(tp_tap_width(&t), 3 * d);
    float *all = reference(&t, begins);
    for (int l = 0; l < 3; l++) {
        tp_tap one = tap;
        one.layer = layers[l];
        float *alone = reference(&one, same);
        assert_memory_equal(begins, same, sizeof begins);
        for (int64_t i = 0; i < begins[N_TEXTS]; i++)
            assert_memory_equal(all + (3 * i + l) * d, alone + i * d, (size_t)d * sizeof(float));
        tp_free(alone);
    }
    for (int round = 0; round < 3; round++) { /* on disk twice: the second time nothing is computed */
        tp_state_cache *c = open_cache(&t, round < 2 ? TP_CACHE_DISK : TP_CACHE_MEMORY, 1 << 20, path);
        check_all(c, all, begins);
        assert_int_equal(tp_state_cache_describe(c).n_computed == 0, round == 1);
        assert_int_equal(tp_state_cache_describe(c).bytes, begins[N_TEXTS] * 3 * d * (int64_t)sizeof(float));
        tp_state_cache_free(c);
    }
    t.layers = others;
    tp_state_cache *c = open_cache(&t, TP_CACHE_DISK, 1 << 20, path);
    assert_int_equal(tp_state_cache_describe(c).n_kept, 0);
    tp_state_cache_free(c);
    tp_free(all);
    free(path);
}

static void texts_that_were_cut_are_counted(void **state) {
    (void)state;
    int64_t cut = 0;
    for (int i = 0; i < N_TEXTS; i++) {
        tp_ids ids = {0};
        bool truncated;
        check_ok(tp_tap_tokens(&tap, examples[i].text, examples[i].len, &ids, &truncated));
        assert_true(ids.len <= 48);
        cut += truncated;
        tp_ids_free(&ids);
    }
    assert_in_range(cut, 5, N_TEXTS - 5); /* or the texts above prove nothing */
    tp_state_cache *c = open_cache(&tap, TP_CACHE_NONE, 0, NULL);
    assert_int_equal(tp_state_cache_describe(c).n_truncated, cut);
    tp_state_cache_free(c);
}

static void memory_keeps_its_bound(void **state) {
    (void)state;
    int64_t begins[N_TEXTS + 1];
    float *all = reference(&tap, begins);
    int64_t row = sender->config.d_model * (int64_t)sizeof(float), everything = begins[N_TEXTS] * row;
    const int64_t bounds[] = {0, row, everything / 3, everything - 1, everything};
    for (int b = 0; b < 5; b++) {
        tp_state_cache *c = open_cache(&tap, TP_CACHE_MEMORY, bounds[b], NULL);
        assert_int_equal(tp_state_cache_describe(c).most_bytes, bounds[b]);
        for (int64_t i = 0; i < N_TEXTS; i += 4) {
            check_fetch(c, (int64_t[]){i, i + 1, i + 2, i + 3}, 4, all, begins);
            assert_true(tp_state_cache_describe(c).bytes <= bounds[b]);
        }
        check_all(c, all, begins);
        tp_state_cache_info info = tp_state_cache_describe(c);
        assert_true(info.bytes <= bounds[b]);
        assert_int_equal(info.n_kept == N_TEXTS, b == 4);
        assert_int_equal(info.n_kept == 0, b <= 1);
        if (b == 4) assert_int_equal(info.n_computed, N_TEXTS); /* each once, then never again */
        if (b < 4) assert_true(info.n_computed > N_TEXTS);
        tp_state_cache_free(c);
    }
    tp_free(all);
}

static void states_depend_on_no_batch_and_no_number_of_threads(void **state) {
    (void)state;
    int before = omp_get_max_threads();
    tp_lm_config wide = sender->config; /* so wide that its products would be shared out among threads */
    wide.d_model = 256, wide.d_ff = 1024, wide.n_heads = 8, wide.head_dim = 32;
    tp_lm *large = tp_lm_new_frozen(&wide, 4, TP_BF16);
    large->tokenizer = sender->tokenizer;
    int64_t everyone[N_TEXTS];
    for (int i = 0; i < N_TEXTS; i++) everyone[i] = N_TEXTS - 1 - i;
    for (int variant = 0; variant < 4; variant++) {
        tp_tap t = tap;
        t.math = variant % 2 ? TP_MATH_BF16 : TP_MATH_F32;
        t.sender = variant < 2 ? sender : large;
        omp_set_num_threads(1);
        int64_t begins[N_TEXTS + 1];
        float *all = reference(&t, begins);
        tp_state_cache *c = open_cache(&t, TP_CACHE_NONE, 0, NULL); /* made for one thread, used by more */
        for (int threads = 1; threads <= 4; threads++) {
            omp_set_num_threads(threads);
            check_fetch(c, everyone, N_TEXTS, all, begins);
            for (int64_t i = 0; i < N_TEXTS; i += 7) check_fetch(c, &i, 1, all, begins);
        }
        tp_state_cache_free(c);
        tp_free(all);
    }
    omp_set_num_threads(before);
    large->tokenizer = NULL;
    tp_lm_free(large);
}

/* ---- the file ---- */

static void flip_byte(const char *path, long at) {
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    int byte = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(byte ^ 0x10, f);
    fclose(f);
}

/* Fills the file with all states of the tap, and closes it. */
static void fill(const tp_tap *t, const char *path) {
    int64_t begins[N_TEXTS + 1];
    float *all = reference(t, begins);
    tp_state_cache *c = open_cache(t, TP_CACHE_DISK, 1 << 20, path);
    check_all(c, all, begins);
    tp_state_cache_free(c);
    tp_free(all);
}

/* Opens the file and fetches all: the bits must be right, and a sender must have been run so many times. */
static void check_reopened(const tp_tap *t, const char *path, int64_t n_computed) {
    int64_t begins[N_TEXTS + 1];
    float *all = reference(t, begins);
    tp_state_cache *c = open_cache(t, TP_CACHE_DISK, 1 << 20, path);
    tp_state_cache_info info = tp_state_cache_describe(c);
    assert_int_equal(info.n_kept, N_TEXTS - n_computed);
    int64_t row = t->sender->config.d_model * (int64_t)sizeof(float);
    if (n_computed == 0) assert_int_equal(info.bytes, begins[N_TEXTS] * row);
    int64_t everyone[N_TEXTS];
    for (int i = 0; i < N_TEXTS; i++) everyone[i] = i;
    check_fetch(c, everyone, N_TEXTS, all, begins);
    assert_int_equal(tp_state_cache_describe(c).n_computed, n_computed);
    tp_state_cache_free(c);
    tp_free(all);
}

static void a_file_is_used_again_if_it_is_of_the_same_states(void **state) {
    (void)state;
    char *path = tp_path_join(dir, "again.cache");
    fill(&tap, path);
    check_reopened(&tap, path, 0);
    check_reopened(&tap, path, 0);

    tp_tap others[5] = {tap, tap, tap, tap, tap};
    others[0].layer = LAYER + 1;
    others[1].prompt = "Text: {text}\nSort:";
    others[2].sender = receiver;
    others[3].math = TP_MATH_BF16;
    others[4].truncate = TP_SIDE_LEFT;
    for (int i = 0; i < 5; i++) {
        fill(&tap, path);
        check_reopened(&others[i], path, N_TEXTS);
        check_reopened(&others[i], path, 0); /* it is theirs now */
        check_reopened(&tap, path, N_TEXTS);
    }

    fill(&tap, path);
    texts[11][0] ^= 1; /* another letter in one text */
    check_reopened(&tap, path, N_TEXTS);
    texts[11][0] ^= 1;
    free(path);
}

static void a_partly_filled_file_is_gone_on_with(void **state) {
    (void)state;
    char *path = tp_path_join(dir, "partly.cache");
    int64_t begins[N_TEXTS + 1];
    float *all = reference(&tap, begins);
    tp_state_cache *c = open_cache(&tap, TP_CACHE_DISK, 1 << 20, path);
    check_fetch(c, (int64_t[]){3, 30, 7}, 3, all, begins);
    tp_state_cache_free(c);
    check_reopened(&tap, path, N_TEXTS - 3);
    check_reopened(&tap, path, 0);
    tp_free(all);
    free(path);
}

static void damage_is_found_and_mended(void **state) {
    (void)state;
    char *path = tp_path_join(dir, "damaged.cache");
    fill(&tap, path);
    long size = (long)tp_file_size(path), row = sender->config.d_model * (long)sizeof(float);
    int64_t begins[N_TEXTS + 1];
    tp_free(reference(&tap, begins));
    long states = size - begins[N_TEXTS] * row;
    const struct {
        long at;
        int64_t n_computed;
    } bytes[] = {{states, 1},                          /* the first number of the first text */
                 {states + begins[20] * row + 100, 1}, /* in the middle of one */
                 {size - 1, 1},                        /* the very last */
                 {0, N_TEXTS},                         /* the magic */
                 {10, N_TEXTS},                        /* the key */
                 {72 + 8 * 5 + 2, 1}};                 /* a hash */
    for (int i = 0; i < 6; i++) {
        flip_byte(path, bytes[i].at);
        check_reopened(&tap, path, bytes[i].n_computed);
        check_reopened(&tap, path, 0);
    }
    const long lengths[] = {0, 5, 100, states, size - 1};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(truncate(path, lengths[i]), 0);
        check_reopened(&tap, path, N_TEXTS);
        check_reopened(&tap, path, 0);
    }
    assert_int_equal(truncate(path, size + 4096), 0);
    check_reopened(&tap, path, N_TEXTS);
    free(path);
}

static void a_sender_without_a_name_is_never_taken_for_another(void **state) {
    (void)state;
    char *path = tp_path_join(dir, "nameless.cache");
    tp_lm *made[2];
    for (int i = 0; i < 2; i++) { /* alike but for their weights; neither has a fingerprint */
        made[i] = tp_lm_new(&sender->config, (uint64_t)i + 5, 0.1);
        made[i]->tokenizer = sender->tokenizer;
        assert_string_equal(made[i]->fingerprint, "");
        tp_tap t = tap;
        t.sender = made[i];
        check_reopened(&t, path, N_TEXTS);
    }
    for (int i = 0; i < 2; i++) {
        made[i]->tokenizer = NULL;
        tp_lm_free(made[i]);
    }
    free(path);
}

static void check_no_cache(int64_t max_bytes, const char *path, const char *words) {
    assert_null(tp_state_cache_new(&tap, examples, N_TEXTS, TP_CACHE_DISK, max_bytes, path));
    if (strstr(tp_last_error(), words) == NULL) fail_msg("\"%s\" does not say \"%s\"", tp_last_error(), words);
}

static void places_without_room_give_a_sentence(void **state) {
    (void)state;
    check_no_cache(1 << 20, "/proc/nowhere/states.cache", "/proc/nowhere/states.cache");
    check_no_cache(1 << 20, dir, dir); /* a folder */
    char *path = tp_path_join(dir, "full.cache");
    check_no_cache(20000, path, "`cache.max_bytes` allows 20000");
    assert_false(tp_path_exists(path));

    struct rlimit limit, small;
    getrlimit(RLIMIT_FSIZE, &limit);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){.rlim_cur = 16384, .rlim_max = limit.rlim_max}; /* no file may be larger: a full disk */
    setrlimit(RLIMIT_FSIZE, &small);
    tp_state_cache *c = tp_state_cache_new(&tap, examples, N_TEXTS, TP_CACHE_DISK, 1 << 20, path);
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, handler);
    assert_null(c);
    assert_non_null(strstr(tp_last_error(), path));
    assert_non_null(strstr(tp_last_error(), "cannot make room"));
    assert_false(tp_path_exists(path)); /* no part of it is left to fill the disk */
    fill(&tap, path);
    check_reopened(&tap, path, 0);
    free(path);
}

/* ---- prompts ---- */

static void a_prompt_that_is_cut_keeps_its_template(void **state) {
    (void)state;
    tp_str text = {0};
    tp_str_append_text(&text, "first");
    for (int i = 0; i < 300; i++) tp_str_appendf(&text, " %s \xC3\xA9\xF0\x9F\x98\x80", tiny_words[i % 3][i % 6]);
    tp_str_append_text(&text, " last");
    for (int side = 0; side < 2; side++)
        for (int max = 20; max < 60; max++) {
            tp_tap t = tap;
            t.max_tokens = max;
            t.truncate = side ? TP_SIDE_RIGHT : TP_SIDE_LEFT;
            tp_ids ids = {0};
            bool truncated = false;
            check_ok(tp_tap_tokens(&t, text.data, text.len, &ids, &truncated));
            assert_true(truncated);
            assert_true((int)ids.len <= max && (int)ids.len > max - 12);
            assert_int_equal(ids.data[0], tp_tokenizer_bos(sender->tokenizer));
            char *back = tp_tokenizer_decode(sender->tokenizer, ids.data, ids.len, TP_TOKENS_SKIP_SPECIAL, NULL);
            size_t n = strlen(back);
            assert_int_equal(strncmp(back, "Text: ", 6), 0);
            assert_true(n > 12 && strcmp(back + n - 6, "\nKind:") == 0);
            char *middle = tp_strndup(back + 6, n - 12); /* the text's beginning or end, in whole characters */
            size_t kept = strlen(middle);
            assert_memory_equal(middle, side ? text.data : text.data + text.len - kept, kept);
            if (kept > 0) assert_int_not_equal(((unsigned char)middle[0] & 0xC0), 0x80);
            if (side) assert_int_not_equal(((unsigned char)text.data[kept] & 0xC0), 0x80);
            tp_free(middle);
            tp_free(back);
            tp_ids_free(&ids);
        }
    tp_str_free(&text);
}

static void a_prompt_that_fits_is_left_alone(void **state) {
    (void)state;
    tp_ids ids = {0}, whole = {0};
    bool truncated = true;
    const char text[] = "I saw a whale there.", filled[] = "Text: I saw a whale there.\nKind:";
    check_ok(tp_tokenizer_encode(sender->tokenizer, filled, sizeof filled - 1, TP_TOKENS_ADD_SPECIAL, &whole));
    tp_tap t = tap;
    t.max_tokens = (int)whole.len; /* just so */
    check_ok(tp_tap_tokens(&t, text, sizeof text - 1, &ids, &truncated));
    assert_false(truncated);
    assert_int_equal(ids.len, whole.len);
    assert_memory_equal(ids.data, whole.data, whole.len * sizeof(int32_t));
    t.max_tokens = 3;
    size_t before = ids.len;
    assert_int_equal(tp_tap_tokens(&t, text, sizeof text - 1, &ids, &truncated), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "Text: {text}"));
    assert_int_equal(ids.len, before);
    tp_ids_free(&ids);
    tp_ids_free(&whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_disk_and_none_give_the_same_bits),
        cmocka_unit_test(several_layers_are_their_layers_side_by_side),
        cmocka_unit_test(texts_that_were_cut_are_counted),
        cmocka_unit_test(memory_keeps_its_bound),
        cmocka_unit_test(states_depend_on_no_batch_and_no_number_of_threads),
        cmocka_unit_test(a_file_is_used_again_if_it_is_of_the_same_states),
        cmocka_unit_test(a_partly_filled_file_is_gone_on_with),
        cmocka_unit_test(damage_is_found_and_mended),
        cmocka_unit_test(a_sender_without_a_name_is_never_taken_for_another),
        cmocka_unit_test(places_without_room_give_a_sentence),
        cmocka_unit_test(a_prompt_that_is_cut_keeps_its_template),
        cmocka_unit_test(a_prompt_that_fits_is_left_alone),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* lm/checkpoint: shards and their index, fingerprints, and what is not a folder of weights. */
#include "check.h"
#include "one_folder.h"

#include "base/file.h"
#include "base/mem.h"
#include "lm/checkpoint.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char *in_dir(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static char *make_folder(const char *name) {
    char *folder = tp_strdup(in_dir(name));
    check_ok(tp_make_dirs(folder));
    return folder;
}

static void write_tensor(const char *folder, const char *file, const char *name, int64_t n) {
    float *data = tp_alloc((size_t)n * sizeof *data);
    for (int64_t i = 0; i < n; i++) data[i] = (float)i + (float)name[0];
    tp_st_tensor t = {.name = name, .dtype = TP_F32, .n_dims = 1, .shape = {n}, .data = data};
    t.n_bytes = (size_t)n * sizeof *data;
    char *path = tp_path_join(folder, file);
    check_ok(tp_safetensors_write(path, &t, 1, NULL, 0));
    tp_free(path);
    tp_free(data);
}

static void write_index(const char *folder, const char *text) {
    char *path = tp_path_join(folder, "model.safetensors.index.json");
    check_ok(tp_write_file(path, text, strlen(text)));
    tp_free(path);
}

static void a_broken_index_is_refused(void **state) {
    (void)state;
    char *folder = make_folder("sharded");
    write_tensor(folder, "s-1.safetensors", "a", 3);
    write_tensor(folder, "s-2.safetensors", "b", 5);
    write_tensor(dir, "outside.safetensors", "c", 5);
    static const struct {
        const char *index;
        const char *words[3];
    } cases[] = {
        {"", {"not valid JSON"}},
        {"{\"weight_map\": {\"a\": \"s-1.safetensors\"", {"not valid JSON"}},
        {"[]", {"a list", "an object was expected"}},
        {"{}", {"`weight_map` is missing"}},
        {"{\"weight_map\": []}", {"`weight_map` is a list"}},
        {"{\"weight_map\": {}}", {"`weight_map` is empty"}},
        {"{\"weight_map\": {\"a\": 1}}", {"`weight_map.a`", "not a file name"}},
        {"{\"weight_map\": {\"a\": \"s-1.safetensors\\u0000\"}}", {"`weight_map.a`", "not a file name"}},
        {"{\"weight_map\": {\"a\": \"s-1.safetensors\", \"a\": \"s-2.safetensors\"}}", {"duplicate"}},
        {"{\"weight_map\": {\"a\": \"s-3.safetensors\"}}", {"names the shard s-3.safetensors", "No such file"}},
        {"{\"weight_map\": {\"a\": \"../outside.safetensors\"}}", {"../outside.safetensors", "plain file name"}},
        {"{\"weight_map\": {\"a\": \"/etc/x.safetensors\"}}", {"plain file name"}},
        {"{\"weight_map\": {\"a\": \"..\\\\x.safetensors\"}}", {"plain file name"}},
        {"{\"weight_map\": {\"a\": \"..\"}}", {"plain file name"}},
        {"{\"weight_map\": {\"a\": \"\"}}", {"plain file name"}},
        {"{\"weight_map\": {\"a\": \"config.json\"}}", {"plain file name"}},
        {"{\"weight_map\": {\"a\": \"s-1.safetensors\", \"b\": \"s-1.safetensors\"}}",
         {"`b`", "s-1.safetensors", "not there"}},
        {"{\"weight_map\": {\"a\": \"s-1.safetensors\", \"x\": \"s-2.safetensors\"}}", {"`x`", "not there"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_index(folder, cases[i].index);
        tp_checkpoint *c = tp_checkpoint_open(folder);
        if (c != NULL) fail_msg("accepted: %s", cases[i].index);
        assert_non_null(strstr(tp_last_error(), "model.safetensors.index.json"));
        for (int k = 0; k < 3 && cases[i].words[k]; k++)
            if (strstr(tp_last_error(), cases[i].words[k]) == NULL)
                fail_msg("\"%s\" does not say \"%s\"", tp_last_error(), cases[i].words[k]);
    }
    write_index(folder, "{\"weight_map\": {\"a\": \"s-1.safetensors\", \"b\": \"s-2.safetensors\"}}");
    tp_checkpoint *c = tp_checkpoint_open(folder);
    check_not_null(c);
    assert_int_equal(tp_checkpoint_count(c), 2);
    check_not_null(tp_checkpoint_weight(c, "a", 1, (int64_t[]){3}));
    assert_null(tp_checkpoint_weight(c, "b", 2, (int64_t[]){5, 1}));
    assert_non_null(strstr(tp_last_error(), "s-2.safetensors: tensor `b` has the shape [5], [5, 1] was expected"));
    assert_null(tp_checkpoint_find(c, "nobody"));
    assert_false(tp_checkpoint_has(c, "nobody"));
    assert_non_null(strstr(tp_last_error(), "sharded has no tensor `nobody`"));
    tp_checkpoint_close(c);
    char *shard = tp_path_join(folder, "s-2.safetensors");
    check_ok(tp_write_file(shard, "garbage", 7)); /* a shard that is itself broken */
    assert_null(tp_checkpoint_open(folder));
    assert_non_null(strstr(tp_last_error(), "s-2.safetensors is 7 bytes long"));
    tp_free(shard);
    tp_free(folder);
}

static void a_folder_without_weights_says_what_was_expected(void **state) {
    (void)state;
    char *folder = make_folder("empty-folder");
    assert_null(tp_checkpoint_open(folder));
    assert_non_null(strstr(tp_last_error(), "empty-folder holds no weights"));
    assert_null(tp_checkpoint_open(in_dir("no-such-folder")));
    assert_non_null(strstr(tp_last_error(), "no-such-folder"));
    tp_free(folder);
}

static void fingerprint_of(const char *folder, char hex[33]) {
    tp_checkpoint *c = tp_checkpoint_open(folder);
    check_not_null(c);
    tp_checkpoint_fingerprint(c, hex);
    tp_checkpoint_close(c);
}

static void a_fingerprint_sees_content_not_files(void **state) {
    (void)state;
    char *sharded = make_folder("print-sharded"), *single = make_folder("print-single");
    char one[33], two[33];
    write_tensor(sharded, "s-1.safetensors", "a", 300);
    write_tensor(sharded, "s-2.safetensors", "b", 5);
    write_index(sharded, "{\"weight_map\": {\"a\": \"s-1.safetensors\", \"b\": \"s-2.safetensors\"}}");
    float a[300], b[5];
    for (int i = 0; i < 300; i++) a[i] = (float)i + 'a';
    for (int i = 0; i < 5; i++) b[i] = (float)i + 'b';
    tp_st_tensor tensors[] = {
        {.name = "b", .dtype = TP_F32, .n_dims = 1, .shape = {5}, .data = b, .n_bytes = sizeof b},
        {.name = "a", .dtype = TP_F32, .n_dims = 1, .shape = {300}, .data = a, .n_bytes = sizeof a},
    };
    char *path = tp_path_join(single, "model.safetensors");
    check_ok(tp_safetensors_write(path, tensors, 2, NULL, 0));
    fingerprint_of(sharded, one);
    fingerprint_of(single, two);
    assert_string_equal(one, two);
    fingerprint_of(path, two);
    assert_string_equal(one, two);
    a[299] = 0; /* the bytes count */
    check_ok(tp_safetensors_write(path, tensors, 2, NULL, 0));
    fingerprint_of(single, two);
    assert_string_not_equal(one, two);
    a[299] = 299 + 'a';
    tensors[1].n_dims = 2; /* the shape counts */
    tensors[1].shape[0] = 30;
    tensors[1].shape[1] = 10;
    check_ok(tp_safetensors_write(path, tensors, 2, NULL, 0));
    fingerprint_of(single, two);
    assert_string_not_equal(one, two);
    tp_free(path);
    tp_free(single);
    tp_free(sharded);
}

/* Above 64 MiB tensors are sampled: their ends are seen, and so is a change that touches every row. */
static void a_large_model_is_sampled(void **state) {
    (void)state;
    enum { N = 17 << 20, COLUMNS = 1 << 12 };
    char *folder = make_folder("print-large");
    char *path = tp_path_join(folder, "model.safetensors");
    float *big = tp_alloc(N * sizeof *big), little[4] = {1, 2, 3, 4};
    tp_st_tensor tensors[] = {
        {.name = "big", .dtype = TP_F32, .n_dims = 2, .shape = {N / COLUMNS, COLUMNS}, .data = big, .n_bytes = N * 4},
        {.name = "little", .dtype = TP_F32, .n_dims = 1, .shape = {4}, .data = little, .n_bytes = sizeof little},
    };
    char base[33], other[33];
    check_ok(tp_safetensors_write(path, tensors, 2, NULL, 0));
    fingerprint_of(folder, base);
    for (int change = 0; change < 4; change++) {
        float *at = change == 0 ? &big[0] : change == 1 ? &big[N - 1] : &little[3];
        float before = *at;
        if (change < 3)
            *at += 1;
        else
            for (int row = 0; row < N / COLUMNS; row++) big[row * COLUMNS + 77] = 1;
        check_ok(tp_safetensors_write(path, tensors, 2, NULL, 0));
        fingerprint_of(folder, other);
        assert_string_not_equal(base, other);
        *at = before;
    }
    unlink(path);
    tp_free(big);
    tp_free(path);
    tp_free(folder);
}

static void real_weights_are_read(void **state) {
    (void)state;
    check_needs_shared("models/tinystories-656k/model.safetensors");
    tp_checkpoint *c = tp_checkpoint_open(check_shared("models/tinystories-656k"));
    check_not_null(c);
    check_not_null(tp_checkpoint_weight(c, "model.embed_tokens.weight", 2, (int64_t[]){2048, 128}));
    assert_string_equal(tp_checkpoint_find(c, "model.embed_tokens.weight")->name, "lm_head.weight"); /* tied */
    assert_false(tp_checkpoint_has(c, "format")); /* other metadata names no tensor */
    check_not_null(tp_checkpoint_weight(c, "model.layers.1.mlp.down_proj.weight", 2, (int64_t[]){128, 384}));
    const tp_st_tensor *norm = tp_checkpoint_weight(c, "model.norm.weight", 1, (int64_t[]){128});
    check_not_null(norm);
    int64_t numbers = 0;
    for (size_t i = 0; i < tp_checkpoint_count(c); i++) {
        int64_t n = 1;
        for (int d = 0; d < tp_checkpoint_get(c, i)->n_dims; d++) n *= tp_checkpoint_get(c, i)->shape[d];
        numbers += n;
    }
    assert_int_equal(numbers, 656000); /* what its name promises */
    tp_checkpoint_close(c);
}

/* Share of a file's pages that are in memory, -1 if nobody says; with `forget` the system is asked to drop them first.
 */
static double share_in_memory(const char *path, bool forget) {
    int fd = open(path, O_RDONLY);
    struct stat st;
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    if (forget) {
        fsync(fd);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = ((size_t)st.st_size + page - 1) / page, n = 0;
    unsigned char *in = tp_alloc(pages);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(p != MAP_FAILED);
    bool known = mincore(p, (size_t)st.st_size, in) == 0;
    for (size_t i = 0; i < pages; i++) n += in[i] & 1;
    munmap(p, (size_t)st.st_size);
    close(fd);
    tp_free(in);
    return known ? (double)n / (double)pages : -1;
}

/* Sampling reads its samples: not what lies behind each, which would be most of the file. */
static void sampling_leaves_the_rest_on_disk(void **state) {
    (void)state;
    enum { TENSORS = 96, N = 1 << 18 };
    char *folder = make_folder("print-cold"), *path = tp_path_join(folder, "model.safetensors"), names[TENSORS][8];
    float *data = tp_alloc(N * sizeof *data);
    tp_st_tensor tensors[TENSORS];
    for (int i = 0; i < TENSORS; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        tensors[i] = (tp_st_tensor){
            .name = names[i], .dtype = TP_F32, .n_dims = 1, .shape = {N}, .data = data, .n_bytes = N * sizeof *data};
    }
    check_ok(tp_safetensors_write(path, tensors, TENSORS, NULL, 0));
    double before = share_in_memory(path, true);
    if (before < 0 || before > 0.1) {
        fprintf(stderr, "SKIPPED: the system keeps a file in memory that it was asked to drop (%.2f of it)\n", before);
    } else {
        char hex[33];
        fingerprint_of(folder, hex);
        double after = share_in_memory(path, false);
        if (after > 0.2) fail_msg("hashing samples read %.0f %% of the file", 100 * after);
    }
    tp_free(data);
    tp_free(path);
    tp_free(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broken_index_is_refused),
        cmocka_unit_test(a_folder_without_weights_says_what_was_expected),
        cmocka_unit_test(a_fingerprint_sees_content_not_files),
        cmocka_unit_test(a_large_model_is_sampled),
        cmocka_unit_test(sampling_leaves_the_rest_on_disk),
        cmocka_unit_test(real_weights_are_read),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

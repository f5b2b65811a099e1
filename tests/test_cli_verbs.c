/* generate, states and inject through the real program: the states are the reference's, the embeddings of a text give
 * the same bits as the text, and what people type does what it says. */
#include "program.h"

#include "base/npy.h"
#include "lm/safetensors.h"

#include <math.h>
#include <signal.h>
#include <unistd.h>

#define WREN TP_SOURCE_DIR "/models/wren"

/* ---- states ---- */

/* Largest difference, as a share of the largest expected value. */
static double difference(const float *got, const float *expected, int64_t n) {
    double worst = 0, most = 1e-30;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - expected[i]);
        if (!(d <= worst)) worst = d; /* catches NaN as well */
        if (fabs((double)expected[i]) > most) most = fabs((double)expected[i]);
    }
    return worst / most;
}

static void append_ids(tp_str *out, const tp_st_tensor *ids) {
    for (int64_t i = 0; i < ids->shape[0]; i++)
        tp_str_appendf(out, "%s%d", i ? "," : "", ((const int32_t *)ids->data)[i]);
}

/* Every layer of the fixtures of test_decoder.c, through the program, as safetensors, as .npy and as JSON. */
static void states_are_the_references(void **state) {
    (void)state;
    static const char *const families[] = {"llama2", "llama3_1", "mistral", "qwen2"};
    for (int k = 0; k < 4; k++)
        for (int prompt = 0; prompt < 2; prompt++) {
            char path[1024], name[64];
            snprintf(path, sizeof path, TP_SOURCE_DIR "/tests/fixtures/lm/%s/expected.safetensors", families[k]);
            tp_safetensors *expected = tp_safetensors_open(path);
            check_not_null(expected);
            snprintf(name, sizeof name, "input_ids_%d", prompt);
            const tp_st_tensor *ids = tp_safetensors_find(expected, name);
            tp_str arguments = {0};
            tp_str_appendf(&arguments, "states " TP_SOURCE_DIR "/tests/fixtures/lm/%s --layer all --ids ", families[k]);
            append_ids(&arguments, ids);
            size_t common = arguments.len;
            tp_str_append_text(&arguments, " --out @/states.safetensors");
            expect_success("", arguments.data, "");
            assert_string_equal(telepathy("", arguments.data).out, "");
            tp_safetensors *got = tp_safetensors_open(in_dir("@/states.safetensors"));
            check_not_null(got);
            assert_string_equal(tp_safetensors_metadata(got, "telepathy.kind"), "states");
            assert_string_equal(tp_safetensors_metadata(got, "pool"), "none");
            assert_int_equal(strlen(tp_safetensors_metadata(got, "fingerprint")), 32);
            const tp_st_tensor *got_ids = tp_safetensors_find(got, "ids");
            check_not_null(got_ids);
            assert_memory_equal(got_ids->data, ids->data, ids->n_bytes);
            arguments.len = common;
            tp_str_append_text(&arguments, " --out @/states.npy");
            expect_success("", arguments.data, "");
            tp_npy array;
            check_ok(tp_npy_open(in_dir("@/states.npy"), &array));
            int64_t layers = (int64_t)tp_safetensors_count(got) - 2;
            assert_true(array.n_dims == 3 && array.shape[0] == layers && array.shape[1] == ids->shape[0]);
            arguments.len = common;
            tp_str_append_text(&arguments, " --json");
            json_t *value = expect_json("", arguments.data);
            json_t *by_layer = json_object_get(json_array_get(value, 0), "layers");
            for (int64_t l = 0; l < layers; l++) {
                snprintf(name, sizeof name, "hidden_states_%d_%d", prompt, (int)l);
                const tp_st_tensor *wanted = tp_safetensors_find(expected, name);
                check_not_null(wanted);
                snprintf(name, sizeof name, "layer.%d", (int)l);
                const tp_st_tensor *have = tp_safetensors_find(got, name);
                check_not_null(have);
                int64_t n = wanted->shape[0] * wanted->shape[1];
                assert_true(difference(have->data, wanted->data, n) < 2e-5);
                assert_memory_equal(have->data, (const float *)array.data + l * n, (size_t)n * sizeof(float));
                snprintf(name, sizeof name, "%d", (int)l);
                json_t *row = json_array_get(json_object_get(by_layer, name), 3);
                assert_true((float)json_real_value(json_array_get(row, 5)) ==
                            ((const float *)have->data)[3 * wanted->shape[1] + 5]);
            }
            json_decref(value);
            tp_npy_close(&array);
            tp_safetensors_close(got);
            tp_safetensors_close(expected);
            tp_str_free(&arguments);
        }
}

static const float *tensor(const tp_safetensors *st, const char *name, int64_t rows) {
    const tp_st_tensor *t = tp_safetensors_find(st, name);
    check_not_null(t);
    assert_int_equal(t->shape[0], rows);
    return t->data;
}

static void several_prompts_lie_end_to_end_and_can_be_pooled(void **state) {
    (void)state;
    check_ok(tp_write_file(in_dir("@/lines"), "How many moons?\nA bee\n", 22));
    expect_success("", "states " WREN " --prompts @/lines -p 'Once upon a time' --layer 0,3 --out @/all.safetensors",
                   "");
    expect_success("",
                   "states " WREN " --prompts @/lines -p 'Once upon a time' --layer 0,3 --pool mean "
                   "--out @/mean.safetensors",
                   "");
    expect_success("",
                   "states " WREN " -p 'Once upon a time' -p 'How many moons?' -p 'A bee' --layer 3 --pool last "
                   "--out @/last.npy",
                   "");
    tp_safetensors *all = tp_safetensors_open(in_dir("@/all.safetensors")),
                   *mean = tp_safetensors_open(in_dir("@/mean.safetensors"));
    check_not_null(all);
    check_not_null(mean);
    tp_npy last;
    check_ok(tp_npy_open(in_dir("@/last.npy"), &last));
    const tp_st_tensor *o = tp_safetensors_find(all, "offsets");
    check_not_null(o);
    assert_int_equal(o->shape[0], 4);
    const int64_t *offsets = o->data;
    int64_t d = last.shape[1];
    assert_true(last.n_dims == 2 && last.shape[0] == 3 && offsets[0] == 0);
    const float *rows = tensor(all, "layer.3", offsets[3]), *means = tensor(mean, "layer.3", 3);
    for (int p = 0; p < 3; p++) {
        assert_memory_equal((const float *)last.data + p * d, rows + (offsets[p + 1] - 1) * d, (size_t)d * 4);
        for (int64_t j = 0; j < d; j++) {
            double sum = 0;
            for (int64_t i = offsets[p]; i < offsets[p + 1]; i++) sum += rows[i * d + j];
            assert_true(fabs(sum / (double)(offsets[p + 1] - offsets[p]) - means[p * d + j]) < 1e-5);
        }
    }
    tp_npy_close(&last);
    tp_safetensors_close(all);
    tp_safetensors_close(mean);
    const char *table = expect_success("", "states " WREN " -p 'A bee' --layer -1", "rms");
    assert_non_null(strstr(table, " be "));
    expect_success("", "states " WREN " -p 'A bee' --layer 2 --pool mean", "mean");
}

/* ---- inject ---- */

/* The bits of the log-likelihoods behind a text, and those of its own states of layer 0, injected; then what is
 * written. For f32 and bf16 products, greedily and by drawing. */
static void injected_embeddings_give_the_bits_of_the_text(void **state) {
    (void)state;
    static const char *const models[] = {WREN, TP_SOURCE_DIR "/models/finch"};
    static const char *const settings[] = {"--math f32 --temp 0", "--math bf16 --temp 1 --top-p 1 --top-k 0 --seed 3"};
    for (int m = 0; m < 2; m++)
        for (int k = 0; k < 2; k++) {
            char arguments[2048];
            snprintf(arguments, sizeof arguments, "states %s -p 'The capital of France' --layer 0 --out @/e%s",
                     models[m], k ? ".npy" : ".safetensors");
            expect_success("", arguments, "");
            snprintf(arguments, sizeof arguments, "generate %s -p 'The capital of France' -n 24 --json %s", models[m],
                     settings[k]);
            json_t *written = expect_json("", arguments);
            snprintf(arguments, sizeof arguments, "inject %s --embeds @/e%s -n 24 --json %s", models[m],
                     k ? ".npy" : ".safetensors", settings[k]);
            json_t *injected = expect_json("", arguments);
            assert_int_equal(json_array_size(json_object_get(written, "ids")), 24);
            assert_true(json_equal(json_object_get(written, "ids"), json_object_get(injected, "ids")));
            assert_string_equal(json_string_value(json_object_get(written, "text")),
                                json_string_value(json_object_get(injected, "text")));
            json_decref(written);
            json_decref(injected);
        }
}

/* The middle of a text as rows, its ends as text: the scores are those of the whole text, to the last bit printed. */
static void text_may_stand_before_and_behind(void **state) {
    (void)state;
    json_t *tokens = expect_json("", "tokenize " WREN " --json --no-add-special ' capital of'");
    assert_int_equal(json_integer_value(json_object_get(tokens, "count")), 2);
    json_decref(tokens);
    expect_success("", "states " WREN " -p 'The capital of' --layer 0,2 --out @/all.safetensors", "");
    expect_failure("", "inject " WREN " --embeds @/all.safetensors", 1,
                   "holds 2 tensors of rows 256 wide (layer.0, layer.2): name the one to take");
    tp_safetensors *st = tp_safetensors_open(in_dir("@/all.safetensors"));
    const tp_st_tensor *layer = tp_safetensors_find(st, "layer.0");
    check_not_null(layer);
    assert_int_equal(layer->shape[0], 4); /* BOS, The, capital, of */
    check_ok(tp_npy_write(in_dir("@/middle.npy"), TP_F32, 2, (const int64_t[]){2, layer->shape[1]},
                          (const float *)layer->data + 2 * layer->shape[1]));
    tp_safetensors_close(st);
    const char *scores = "--score ' is, was, has been' --json --math f32";
    char arguments[1024];
    snprintf(arguments, sizeof arguments, "inject " WREN " --embeds @/middle.npy --before The --after ' France' %s",
             scores);
    char *parts = strdup(expect_success("", arguments, "log_likelihood"));
    expect_success("", "states " WREN " -p 'The capital of France' --layer 0 --out @/whole.npy", "");
    snprintf(arguments, sizeof arguments, "inject " WREN " --embeds @/whole.npy %s", scores);
    assert_string_equal(expect_success("", arguments, "share"), parts);
    free(parts);
    const char *table = expect_success("", "inject " WREN " --embeds @/whole.npy --score ' is, was'", "log-likelihood");
    assert_non_null(strstr(table, " %\n"));
}

/* ---- generate ---- */

static void the_same_seed_gives_the_same_text(void **state) {
    (void)state;
    setenv("OMP_NUM_THREADS", "1", 1);
    char *once = strdup(expect_success("", "generate " WREN " -p 'Once upon a time' -n 30 -s 9", ""));
    assert_true(strlen(once) > 30);
    /* The draw knows nothing of threads. Nor do f32 products; of bf16 ones oneDNN may cut sums by threads. */
    char *f32 = strdup(expect_success("", "generate " WREN " -p 'Once upon a time' -n 30 -s 9 --math f32 -t 1", ""));
    assert_string_equal(telepathy("", "generate " WREN " -p 'Once upon a time' -n 30 --seed 9 --math f32 -t 2").out,
                        f32);
    free(f32);
    assert_string_equal(
        telepathy("TELEPATHY_SEED=9 TELEPATHY_PREDICT=30 TELEPATHY_MODEL=" WREN, "generate -p 'Once upon a time'").out,
        once);
    assert_string_equal(telepathy("TELEPATHY_SEED=8", "generate -m " WREN " -p 'Once upon a time' -n 30 -s9").out,
                        once);
    assert_string_not_equal(telepathy("", "generate " WREN " -p 'Once upon a time' -n 30 -s 10").out, once);
    check_ok(tp_write_file(in_dir("@/prompt"), "Once upon a time\n", 17));
    assert_string_equal(telepathy("", "generate " WREN " -f @/prompt -n 30 -s 9").out, once);
    assert_string_equal(telepathy("", "generate " WREN " -p - -n 30 -s 9 <@/prompt").out, once);
    outcome o = telepathy("", "generate " WREN " -p 'Once upon a time' -n 30 -s 9 --echo");
    assert_memory_equal(o.out, "Once upon a time", 16);
    assert_string_equal(o.out + 16, once);
    assert_string_equal(o.err, ""); /* figures are for terminals */
    /* greedily nothing is drawn */
    char *greedy = strdup(expect_success("", "generate " WREN " -p 'Once upon a time' -n 20 --temp 0 -s 1", ""));
    assert_string_equal(telepathy("", "generate " WREN " -p 'Once upon a time' -n 20 --top-k 1 -s 2").out, greedy);
    assert_string_not_equal(
        telepathy("", "generate " WREN " -p 'Once upon a time' -n 20 --temp 0 --repeat-penalty 1.5").out, greedy);
    assert_string_equal(telepathy("", "generate " WREN " -p 'Once upon a time' -n 20 --temp 0 --repeat-penalty 1.5 "
                                      "--repeat-last-n 0")
                            .out,
                        greedy);
    /* cut at a stop text, of which nothing shows */
    char stop[16], arguments[512];
    snprintf(stop, sizeof stop, "%.5s", greedy + strlen(greedy) / 2);
    if (strchr(stop, '\'') || strchr(stop, '\n')) fail_msg("choose another stop text than `%s`", stop);
    snprintf(arguments, sizeof arguments,
             "generate " WREN " -p 'Once upon a time' -n 20 --temp 0 --stop xyzzy --stop '%s'", stop);
    o = telepathy("", arguments);
    size_t at = (size_t)(strstr(greedy, stop) - greedy);
    assert_int_equal(strlen(o.out), at + 1); /* and a line's end */
    assert_memory_equal(o.out, greedy, at);
    free(once);
    free(greedy);
}

/* What is on disk is not read again, and changes nothing; a cache of another type is refused. */
static void a_prompt_cache_changes_nothing(void **state) {
    (void)state;
    const char *plain = "generate " WREN " -p 'The capital of France' -n 12 -s 4 --math f32";
    char *wanted = strdup(expect_success("", plain, "")), arguments[512];
    for (int k = 0; k < 2; k++) {
        snprintf(arguments, sizeof arguments, "%s --prompt-cache @/cache", plain);
        assert_string_equal(expect_success("", arguments, ""), wanted);
    }
    expect_success("", "generate " WREN " -p 'The capital of Spain' -n 4 --prompt-cache @/cache --math f32", "");
    assert_string_equal(expect_success("", arguments, ""), wanted);
    free(wanted);
    expect_failure("", "generate " WREN " -p 'The capital' -n 4 --prompt-cache @/cache --cache-type i8", 1, "cache");
    expect_failure("", "generate " TP_SOURCE_DIR "/models/finch -p 'The capital' -n 4 --prompt-cache @/cache", 1,
                   "cache");
    const char *const types[] = {"f16", "bf16", "i8"};
    for (int k = 0; k < 3; k++) {
        snprintf(arguments, sizeof arguments, "%s --cache-type %s --prompt-cache @/%s", plain, types[k], types[k]);
        char *first = strdup(expect_success("", arguments, ""));
        assert_string_equal(expect_success("", arguments, ""), first);
        free(first);
    }
}

static void endings_are_told(void **state) {
    (void)state;
    json_t *value = expect_json("", "generate " WREN " -p 'A bee' -n 3 --json");
    assert_string_equal(json_string_value(json_object_get(value, "ending")), "length");
    assert_int_equal(json_integer_value(json_object_get(value, "tokens")), 3);
    assert_int_equal(json_integer_value(json_object_get(value, "prompt_tokens")), 4);
    json_decref(value);
    value = expect_json("", "generate " WREN " -p 'A bee' -n -1 -c 16 --ignore-eos --json"); /* until it is full */
    assert_int_equal(json_integer_value(json_object_get(value, "tokens")), 12);
    json_decref(value);
    value = expect_json("", "generate " WREN " -p 'A bee' -n 50 --stop e --json");
    assert_string_equal(json_string_value(json_object_get(value, "ending")), "stop");
    assert_null(strchr(json_string_value(json_object_get(value, "text")), 'e'));
    json_decref(value);
}

static void conversations_go_on(void **state) {
    (void)state;
    check_ok(tp_write_file(in_dir("@/questions"), "What is a bee?\n\nAnd a wasp?\n", 28));
    outcome o = telepathy("", "generate " WREN " --chat-template plain --system 'Be brief.' -n 12 --stop '\n' "
                              "<@/questions");
    assert_int_equal(o.code, 0);
    assert_string_equal(o.err, "");
    char *end = strchr(o.out, '\n');
    assert_true(end != NULL && strchr(end + 1, '\n') != NULL); /* two answers */
    char *first = tp_strndup(o.out, (size_t)(end - o.out) + 1);
    assert_string_equal(telepathy("", "generate " WREN " --chat-template plain --system 'Be brief.' -n 12 --stop '\n' "
                                      "-p 'What is a bee?'")
                            .out,
                        first);
    tp_free(first);
    expect_failure("", "generate " WREN " --chat -p hello", 1, "name one with --chat-template");
    expect_failure("", "generate " WREN " --chat-template martian -p hello", 1, "martian");
}

/* The checkpoint's own template, from a folder and from the GGUF file made of it. */
static void the_models_own_chat_format_is_used(void **state) {
    (void)state;
    static const char template[] =
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
        "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    char command[4200];
    snprintf(command, sizeof command, "cp -r '%s' '%s/chat'", WREN, dir);
    assert_int_equal(system(command), 0);
    json_t *config = tp_json_load_file(in_dir("@/chat/tokenizer_config.json"));
    check_not_null(config);
    json_object_set_new(config, "chat_template", json_string(template));
    check_ok(tp_json_save_file(config, in_dir("@/chat/tokenizer_config.json")));
    json_decref(config);
    char *wanted = strdup(expect_success("", "generate " WREN " --chat-template chatml -p Hello -n 12 --temp 0", ""));
    assert_string_equal(expect_success("", "generate @/chat --chat -p Hello -n 12 --temp 0", ""), wanted);
    expect_success("", "convert @/chat @/chat.gguf", "");
    assert_string_equal(expect_success("", "generate @/chat.gguf --chat -p Hello -n 12 --temp 0", ""), wanted);
    free(wanted);
}

/* Ctrl-C: what was written stays, the line ends, the status is 130. */
static void an_interrupted_generation_ends_cleanly(void **state) {
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        if (freopen(in_dir("@/err"), "w", stderr) == NULL) _exit(99);
        execl(TP_BINARY_DIR "/telepathy", "telepathy", "generate", WREN, "-p", "A bee", "-n", "-1", "--ignore-eos",
              "-t", "1", (char *)NULL);
        _exit(99);
    }
    close(pipes[1]);
    char text[1 << 16];
    size_t n = 0;
    bool sent = false;
    for (ssize_t got; n < sizeof text && (got = read(pipes[0], text + n, sizeof text - n)) > 0;) {
        n += (size_t)got;
        if (!sent) kill(child, SIGINT); /* the first words are there */
        sent = true;
    }
    close(pipes[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 130);
    assert_true(n > 1 && text[n - 1] == '\n');
    char *err;
    size_t m;
    check_ok(tp_read_file(in_dir("@/err"), 0, &err, &m));
    assert_non_null(strstr(err, "interrupted after "));
    tp_free(err);
}

/* ---- what makes no sense ---- */

static void nonsense_gets_a_sentence(void **state) {
    (void)state;
    expect_failure("", "generate " WREN, 2, "give a text with --prompt or --file");
    expect_failure("", "generate -p x", 2, "MODEL is missing");
    expect_failure("", "generate " WREN " -p x -f y", 2, "only one can be given");
    expect_failure("", "generate " WREN " -p x --temp -1", 2, "--temp is `-1`, a number from 0");
    expect_failure("", "generate " WREN " -p x --top-p 2", 2, "--top-p is `2`, a number from 0 to 1 was expected");
    expect_failure("", "generate " WREN " -p x --stop ''", 1, "stop text 0 is empty");
    expect_failure("", "generate " WREN " -f @/absent", 1, "absent");
    expect_failure("", "generate @/absent -p x", 1, "absent");
    expect_failure("", "generate " WREN " -p 'one two three four' -c 3", 1, "the context has 3");
    expect_failure("", "generate " WREN " -p x -c 100000000", 1, "positions");
    expect_failure("", "states " WREN " --layer 1", 2, "give a text with --prompt");
    expect_failure("", "states " WREN " -p x --layer 99", 1, "there is no layer 99: they run from 0");
    expect_failure("", "states " WREN " -p x --layer 2,one", 2, "--layer has `one`");
    expect_failure("", "states " WREN " -p x --layer 2,2", 2, "names layer 2 twice");
    expect_failure("", "states " WREN " --ids 1,100000", 1, "id 1 is 100000");
    expect_failure("", "states " WREN " -p x --pool max", 2, "one of none, mean, last was expected");
    expect_failure("", "states " WREN " -p x --out @/no/such/folder.npy", 1, "folder.npy");
    expect_failure("", "inject " WREN, 2, "--embeds is missing");
    expect_failure("", "inject " WREN " --embeds @/absent.npy", 1, "absent.npy");
    const float rows[6] = {1, 2, 3, 4, 5, 6};
    check_ok(tp_npy_write(in_dir("@/narrow.npy"), TP_F32, 2, (const int64_t[]){2, 3}, rows));
    expect_failure("", "inject " WREN " --embeds @/narrow.npy", 1, "has shape [2, 3]; rows of 256 numbers");
    const int64_t ints[256] = {0};
    check_ok(tp_npy_write(in_dir("@/ints.npy"), TP_I64, 2, (const int64_t[]){1, 256}, ints));
    expect_failure("", "inject " WREN " --embeds @/ints.npy", 1, "is i64; f32, f16, bf16 or f64 was expected");
    float bad[256] = {0};
    bad[7] = NAN;
    check_ok(tp_npy_write(in_dir("@/bad.npy"), TP_F32, 1, (const int64_t[]){256}, bad));
    expect_failure("", "inject " WREN " --embeds @/bad.npy", 1, "row 0 holds nan, finite numbers were expected");
    expect_failure("", "inject " WREN " --embeds @/bad.npy --tensor x", 1, "there is no tensor `x` in it");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_are_the_references),
        cmocka_unit_test(several_prompts_lie_end_to_end_and_can_be_pooled),
        cmocka_unit_test(injected_embeddings_give_the_bits_of_the_text),
        cmocka_unit_test(text_may_stand_before_and_behind),
        cmocka_unit_test(the_same_seed_gives_the_same_text),
        cmocka_unit_test(a_prompt_cache_changes_nothing),
        cmocka_unit_test(endings_are_told),
        cmocka_unit_test(conversations_go_on),
        cmocka_unit_test(the_models_own_chat_format_is_used),
        cmocka_unit_test(an_interrupted_generation_ends_cleanly),
        cmocka_unit_test(nonsense_gets_a_sentence),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

/* The tasks of every kind: choices and free answers beside classes, the readers behind them, the official files as
 * ../shared has them, and passkey, which is made by the program. */
#include "check.h"
#include "one_folder.h"

#include "base/file.h"
#include "base/mem.h"
#include "data/passkey.h"
#include "data/split.h"
#include "data/task.h"

#include <ctype.h>

static void put(const char *name, const char *text) {
    char *path = tp_path_join(dir, name);
    check_ok(tp_write_file(path, text, strlen(text)));
    tp_free(path);
}

static tp_task *load(const char *name) {
    return tp_task_load(&(tp_task_options){.name = name, .data = dir, .split_seed = 42});
}

#define fails(name, sentence)                                                                                          \
    do {                                                                                                               \
        assert_null(load(name));                                                                                       \
        if (strstr(tp_last_error(), sentence) == NULL)                                                                 \
            fail_msg("expected \"...%s...\", got \"%s\"", sentence, tp_last_error());                                  \
    } while (0)

/* ---- choices ---- */

static const char piqa_rows[] = "{\"goal\": \"dry a cup\", \"sol1\": \"use a towel \", \"sol2\": \"use a hammer\"}\n"
                                "{\"goal\": \"boil water\", \"sol1\": \"an oven\", \"sol2\": \"a kettle\"}\n";

static void choices_have_options_of_their_own(void **state) {
    (void)state;
    put("valid.jsonl", piqa_rows);
    put("valid-labels.lst", "0\r\n1\r\n");
    tp_task *task = load("piqa");
    check_not_null(task);
    assert_int_equal(task->kind, TP_TASK_CHOICE);
    assert_string_equal(tp_task_kind_name(task->kind), "choice");
    assert_int_equal(task->n_labels, 2);
    assert_int_equal(task->test.n, 2);
    const tp_example *e = task->test.examples;
    assert_string_equal(e[0].text, "Goal: dry a cup\nA: use a towel\nB: use a hammer");
    assert_int_equal(e[0].label, 0);
    assert_int_equal(e[1].label, 1);
    assert_string_equal(e[0].options[0], "use a towel");
    assert_string_equal(e[1].options[1], "a kettle");
    assert_null(e[0].answers);
    assert_string_equal(tp_example_answer(task, &e[1]), "a kettle");
    /* never trained on: validation files are test here, and the sentence says what is missing */
    assert_int_equal(task->train.n + task->valid.n, 0);
    assert_int_equal(tp_task_needs_train(task), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "the task piqa cannot be trained on: its train.jsonl is not in"));
    assert_non_null(strstr(tp_last_error(), "https://yonatanbisk.com/piqa/"));
    /* answers: the letter in upper case, or the option's own words, whatever comes first */
    static const struct {
        const char *answer;
        int32_t label;
    } cases[] = {
        {" B", 1}, {"(A) of course", 0},        {"a kettle", 1},     {"An oven, I think, not B", 0}, {"a spoon", -1},
        {"", -1},  {"I would use a kettle", 1}, {"both a and b", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (tp_example_parse_answer(task, &e[1], cases[i].answer, strlen(cases[i].answer)) != cases[i].label)
            fail_msg("\"%s\" is not %d", cases[i].answer, cases[i].label);
    assert_int_equal(tp_task_parse_answer(task, "a kettle", 8), -1); /* without the example, only letters */
    assert_int_equal(tp_task_parse_answer(task, "B a", 3), 1);
    char before[33];
    strcpy(before, task->test.fingerprint);
    tp_task_free(task);
    /* the options belong to the fingerprint */
    put("valid.jsonl", "{\"goal\": \"dry a cup\", \"sol1\": \"use a towel\", \"sol2\": \"use a hammer\"}\n"
                       "{\"goal\": \"boil water\", \"sol1\": \"an oven\", \"sol2\": \"a kettle!\"}\n");
    task = load("piqa");
    assert_string_not_equal(task->test.fingerprint, before);
    tp_task_free(task);
    put("valid-labels.lst", "0\n");
    fails("piqa", "valid-labels.lst ends after 1 lines, but");
    put("valid-labels.lst", "0\n1\n\n1\n");
    fails("piqa", "valid-labels.lst goes on at line 4, but");
    put("valid-labels.lst", "0\n2\n");
    fails("piqa", "valid.jsonl, line 2: the label \"2\" is not one of the task's: 0, 1");
    put("valid.jsonl", "{\"goal\": \"dry a cup\", \"sol1\": \"use a towel\"}\n");
    fails("piqa", "valid.jsonl, line 1: the key `sol2` is missing");
}

static void options_may_be_a_list_in_an_object(void **state) {
    (void)state;
    static const char good[] =
        "{\"answerKey\":\"C\",\"question\":{\"stem\":\"Where?\",\"choices\":[{\"label\":\"A\",\"text\":\"in\"},"
        "{\"label\":\"B\",\"text\":\"on\"},{\"label\":\"C\",\"text\":\"at\"},{\"label\":\"D\",\"text\":\"by\"},"
        "{\"label\":\"E\",\"text\":\"to\"}]}}\n";
    put("dev_rand_split.jsonl", good);
    tp_task *task = load("commonsenseqa");
    check_not_null(task);
    assert_string_equal(task->test.examples[0].text, "Question: Where?\nA: in\nB: on\nC: at\nD: by\nE: to");
    assert_int_equal(task->test.examples[0].label, 2);
    assert_string_equal(tp_example_answer(task, &task->test.examples[0]), "at");
    tp_task_free(task);
    put("dev_rand_split.jsonl",
        "{\"answerKey\":\"A\",\"question\":{\"stem\":\"Where?\",\"choices\":[{\"text\":\"in\"}]}}");
    fails("commonsenseqa", "dev_rand_split.jsonl, line 1: 1 options found, 5 were expected");
    put("dev_rand_split.jsonl", "{\"answerKey\":\"A\",\"question\":{\"choices\":[]}}");
    fails("commonsenseqa", "line 1: the key `question.stem` is missing");
}

/* ---- free answers ---- */

static void free_answers_have_golds(void **state) {
    (void)state;
    put("train.jsonl",
        "{\"question\":\"1+1?\",\"answer\":\"1+1 = <<1+1=2>>2\\n#### 2\"}\n"
        "{\"question\":\"2+2?\",\"answer\":\"#### 4\"}\n{\"question\":\"3+3?\",\"answer\":\"#### 1,006\"}\n"
        "{\"question\":\"4+4?\",\"answer\":\"#### 8\"}\n{\"question\":\"5+5?\",\"answer\":\"#### 10\"}\n");
    put("test.jsonl", "{\"question\":\"1+1?\",\"answer\":\"x #### 7 #### 2\"}\n");
    tp_task *task = load("gsm8k");
    check_not_null(task);
    assert_int_equal(task->kind, TP_TASK_TEXT);
    assert_int_equal(task->answer_form, TP_ANSWER_NUMBER);
    assert_int_equal(task->n_labels, 0);
    assert_int_equal(task->test.examples[0].label, -1);
    assert_string_equal(task->test.examples[0].answers[0], "2");
    assert_null(task->test.examples[0].answers[1]);
    assert_null(task->test.examples[0].options);
    assert_string_equal(tp_example_answer(task, &task->test.examples[0]), "2");
    assert_int_equal(task->train.n + task->valid.n, 5);
    assert_int_equal(task->valid.n, 1); /* a stratum of its own: rows without labels can be carved and drawn */
    assert_int_equal(task->n_overlap, 1);
    check_ok(tp_task_needs_train(task));
    tp_task_free(task);
    put("test.jsonl", "{\"question\":\"1+1?\",\"answer\":\"2\"}\n");
    fails("gsm8k", "test.jsonl, line 1: no \"####\" stands in the answer");
    put("test.jsonl", "{\"question\":\"1+1?\",\"answer\":\"2 ####  \"}\n");
    fails("gsm8k", "test.jsonl, line 1: the key `answer` holds no answer");
}

static void squad_keeps_all_different_answers(void **state) {
    (void)state;
    put("dev-v1.1.json",
        "{\"data\":[{\"title\":\"t\",\"paragraphs\":[]},{\"title\":\"u\",\"paragraphs\":[{\"context\":\"It is red.\","
        "\"qas\":[{\"id\":\"1\",\"question\":\"What colour?\",\"answers\":[{\"text\":\"red\"},{\"text\":\"red\"},"
        "{\"text\":\"is "
        "red\"}]},{\"question\":\"What?\",\"answers\":[{\"text\":\"It\"}]}]},{\"context\":\"B\",\"qas\":[]},"
        "{\"context\":\"C c\",\"qas\":[{\"question\":\"c?\",\"answers\":[{\"text\":\"c\"}]}]}]}]}");
    tp_task *task = load("squad");
    check_not_null(task);
    assert_int_equal(task->test.n, 3);
    const tp_example *e = task->test.examples;
    assert_string_equal(e[0].text, "Question: What colour?\nPassage: It is red.");
    assert_string_equal(e[0].answers[0], "red");
    assert_string_equal(e[0].answers[1], "is red");
    assert_null(e[0].answers[2]);
    assert_string_equal(e[2].text, "Question: c?\nPassage: C c");
    tp_task_free(task);
    put("dev-v1.1.json",
        "{\"data\":[{\"paragraphs\":[{\"context\":\"x\",\"qas\":[{\"question\":\"q\",\"answers\":[]}]}]}]}");
    fails("squad", "dev-v1.1.json, question 1: the key `answers.text` holds no answer");
    put("dev-v1.1.json", "[]");
    fails("squad", "dev-v1.1.json has no list `data`; the layout of SQuAD was expected");
}

static void a_list_of_objects_is_read_one_by_one(void **state) {
    (void)state;
    put("hotpot_dev_distractor_v1.json",
        " [ {\"question\":\"q\",\"answer\":\"yes\",\"context\":[[\"T\",[\"One.\",\" Two.\"]],[\"U\",[\"Three.\"]]]} ,\n"
        "{\"question\":\"r\",\"answer\":\"no\",\"context\":[[\"V\",[]]]}]\n");
    tp_task *task = load("hotpotqa");
    check_not_null(task);
    assert_int_equal(task->test.n, 2);
    assert_string_equal(task->test.examples[0].text, "Question: q\nPassages: T One. Two. U Three.");
    assert_string_equal(task->test.examples[1].text, "Question: r\nPassages: V");
    tp_task_free(task);
    put("hotpot_dev_distractor_v1.json", "[{\"question\":\"q\",\"answer\":\"yes\",\"context\":[]} {}]");
    fails("hotpotqa", "behind record 1 a `,` or `]` was expected");
    put("hotpot_dev_distractor_v1.json", "[{\"question\":\"q\",\"answer\":\"yes\",\"context\":[]}, {\"question\"]");
    fails("hotpotqa", "record 2 is not valid JSON");
    put("hotpot_dev_distractor_v1.json", "[{\"question\":\"q\",\"context\":[]}]");
    fails("hotpotqa", "record 1: the key `answer` is missing");
    put("hotpot_dev_distractor_v1.json", "[]");
    fails("hotpotqa", "holds no rows");
    put("hotpot_dev_distractor_v1.json", "{}");
    fails("hotpotqa", "does not begin with `[`");
}

/* ---- two texts, renamed labels, labels to leave out ---- */

static void fields_are_joined_by_a_template(void **state) {
    (void)state;
    put("train.tsv",
        "index\tsentence1\tsentence2\tlabel\n0\tA \"cat\" sat.\tA cat.\tentailment\n1\tB\tC\tnot_entailment\n"
        "2\tD\tE\tentailment\n3\tF\tG\tentailment\n4\tH\tI\tnot_entailment\n5\tJ\tK\tnot_entailment\n");
    put("dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tB\tC\tnot_entailment\n\n");
    tp_task *task = load("rte");
    check_not_null(task);
    assert_string_equal(task->test.examples[0].text, "Premise: B\nHypothesis: C");
    assert_string_equal(task->labels[task->test.examples[0].label].name, "no");
    assert_int_equal(task->n_overlap, 1);
    assert_int_equal(task->n_dropped, 0);
    assert_int_equal(task->train.n + task->valid.n, 6);
    tp_task_free(task);
    task = tp_task_load(&(tp_task_options){.name = "rte", .data = dir, .drop_overlap = true});
    check_not_null(task);
    assert_int_equal(task->n_overlap, 1);
    assert_int_equal(task->n_dropped, 1);
    assert_int_equal(task->train.n + task->valid.n, 5);
    for (size_t i = 0; i < task->train.n; i++)
        assert_string_not_equal(task->train.examples[i].text, task->test.examples[0].text);
    tp_task_free(task);
    put("dev.tsv", "index\tsentence1\tlabel\n0\tB\tentailment\n");
    fails("rte", "dev.tsv has no column `sentence2`; its columns are `index`, `sentence1`, `label`");
    put("dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tB\twith\ta tab\tentailment\n");
    fails("rte", "dev.tsv, line 2: 5 fields found, the header names 4 (a tab in a text parts it");
}

static void labels_are_renamed_and_left_out(void **state) {
    (void)state;
    put("multinli_1.0_dev_matched.jsonl", "{\"sentence1\":\"a\",\"sentence2\":\"b\",\"gold_label\":\"-\"}\n"
                                          "{\"sentence1\":\"c\",\"sentence2\":\"d\",\"gold_label\":\"neutral\"}\n");
    tp_task *task = load("mnli");
    check_not_null(task);
    assert_int_equal(task->test.n, 1);
    assert_string_equal(task->test.examples[0].text, "Premise: c\nHypothesis: d");
    tp_task_free(task);
    put("resplit_val.csv", "\"1\",\"sings\"\n\"13\",\"runs\"\n\"2\",\"sells\"\n\"1\",\"paints\"\n\"14\",\"plays\"\n");
    put("resplit_test.csv", "\"10\",\"a novel\"\n");
    task = load("dbpedia");
    check_not_null(task);
    assert_string_equal(task->labels[task->test.examples[0].label].name, "book");
    tp_task_free(task);
    put("resplit_test.csv", "\"15\",\"a novel\"\n");
    fails("dbpedia", "resplit_test.csv, line 1: the label \"15\" is none of this file's");
}

/* ---- passkey ---- */

static void passkeys_are_hidden_in_filler(void **state) {
    (void)state;
    tp_task *task = tp_task_load(&(tp_task_options){.name = "passkey:60"});
    check_not_null(task);
    assert_string_equal(task->name, "passkey:60");
    assert_true(task->synthetic);
    assert_int_equal(task->answer_form, TP_ANSWER_CODE);
    assert_int_equal(task->test.n, 500);
    assert_int_equal(task->train.n + task->valid.n, 5000);
    static bool train_codes[100000], test_codes[100000];
    const tp_dataset *sets[] = {&task->train, &task->valid, &task->test};
    size_t early = 0, late = 0;
    for (int s = 0; s < 3; s++)
        for (size_t i = 0; i < sets[s]->n; i++) {
            const tp_example *e = &sets[s]->examples[i];
            const char *code = e->answers[0], *place = strstr(e->text, code);
            assert_int_equal(strlen(code), 5);
            assert_non_null(place);
            assert_null(e->answers[1]);
            size_t digits = 0, words = 1;
            for (size_t k = 0; k < e->len; k++)
                digits += isdigit((unsigned char)e->text[k]) != 0, words += e->text[k] == ' ';
            assert_int_equal(digits, 5); /* nothing else could be taken for the code */
            assert_in_range(words, 60, 75);
            bool *seen = s == 2 ? test_codes : train_codes;
            assert_false(seen[atoi(code)]);
            seen[atoi(code)] = true;
            early += place<e->text + e->len / 3, late += place> e->text + 2 * e->len / 3;
        }
    for (int code = 0; code < 100000; code++) assert_false(train_codes[code] && test_codes[code]);
    assert_in_range(early, 1000, 2800); /* a third of 5500, more or less */
    assert_in_range(late, 1000, 2800);
    tp_task *again = tp_task_load(&(tp_task_options){.name = "passkey:60"});
    assert_string_equal(again->train.fingerprint, task->train.fingerprint);
    assert_string_equal(again->test.fingerprint, task->test.fingerprint);
    tp_task_free(again);
    tp_task_free(task);
    assert_null(tp_task_load(&(tp_task_options){.name = "passkey:5"}));
    assert_non_null(strstr(tp_last_error(), "a length of 10 to 100000 words was expected behind the colon"));
    assert_null(tp_task_load(&(tp_task_options){.name = "passkey:60x"}));
    assert_int_equal(tp_passkey_words("passkey"), TP_PASSKEY_WORDS);
    assert_int_equal(tp_passkey_words("passkeys"), 0);
    assert_int_equal(tp_passkey_words("trec"), 0);
}

/* ---- the official files ---- */

typedef struct expectation {
    const char *name, *file; /* below ../shared/data */
    size_t train, test;      /* train: with valid */
    int32_t n_labels;
    size_t overlap;
    int32_t label;  /* one of them, and how often test has it */
    size_t of_test; /* 0: not counted */
} expectation;

static void official_files_are_read_whole(void **state) {
    (void)state;
    check_needs_shared("data/README.md");
    static const expectation tasks[] = {
        {"trec_fine", "trec/TREC_10.label", 5452, 500, 50, 10, 0, 0},
        {"dbpedia", "dbpedia_14/resplit_test.csv", 5000, 5000, 14, 0, 0, 364},
        {"rte", "rte/dev.tsv", 2490, 277, 2, 0, 0, 146},
        {"mnli", "mnli/dev_matched.jsonl", 0, 9815, 3, 0, 1, 3123},
        {"boolq", "boolq/dev.jsonl", 0, 3270, 2, 0, 1, 2033},
        {"piqa", "piqa/valid.jsonl", 0, 1838, 2, 0, 1, 928},
        {"commonsenseqa", "commonsenseqa/dev_rand_split.jsonl", 9741, 1221, 5, 0, 3, 251},
        {"gsm8k", "gsm8k/test.jsonl", 7473, 1319, 0, 0, 0, 0},
        {"squad", "squad_v1.1/train_subset.jsonl", 8149, 10570, 0, 0, 0, 0},
        {"hotpotqa", "hotpotqa/dev_distractor_500.jsonl", 0, 500, 0, 0, 0, 0},
    };
    for (size_t t = 0; t < sizeof tasks / sizeof tasks[0]; t++) {
        const expectation *x = &tasks[t];
        char *file = tp_format("data/%s", x->file);
        bool here = access(check_shared(file), R_OK) == 0;
        tp_free(file);
        if (!here) {
            fprintf(stderr, "SKIPPED: ../shared/data/%s is not here, %s was not read\n", x->file, x->name);
            continue;
        }
        tp_task *task =
            tp_task_load(&(tp_task_options){.name = x->name, .data = check_shared("data"), .split_seed = 42});
        check_not_null(task);
        size_t counted = 0;
        for (size_t i = 0; i < task->test.n; i++) counted += task->test.examples[i].label == x->label;
        printf("%s: %s, train %zu, valid %zu, test %zu, labels %d; %zu test texts are also in train\n", x->name,
               tp_task_kind_name(task->kind), task->train.n, task->valid.n, task->test.n, task->n_labels,
               task->n_overlap);
        assert_int_equal(task->train.n + task->valid.n, x->train);
        assert_int_equal(task->test.n, x->test);
        assert_int_equal(task->n_labels, x->n_labels);
        assert_int_equal(task->n_overlap, x->overlap);
        assert_true((task->no_train != NULL) == (x->train == 0));
        if (x->of_test) assert_int_equal(counted, x->of_test);
        assert_non_null(strstr(task->prompt, "{text}"));
        if (task->kind == TP_TASK_TEXT)
            for (size_t i = 0; i < task->test.n; i++) assert_true(task->test.examples[i].answers[0][0] != '\0');
        tp_task_free(task);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choices_have_options_of_their_own),
        cmocka_unit_test(options_may_be_a_list_in_an_object),
        cmocka_unit_test(free_answers_have_golds),
        cmocka_unit_test(squad_keeps_all_different_answers),
        cmocka_unit_test(a_list_of_objects_is_read_one_by_one),
        cmocka_unit_test(fields_are_joined_by_a_template),
        cmocka_unit_test(labels_are_renamed_and_left_out),
        cmocka_unit_test(passkeys_are_hidden_in_filler),
        cmocka_unit_test(official_files_are_read_whole),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

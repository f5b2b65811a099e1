/* text/chat: every format renders what transformers renders (tests/fixtures/text/chat.json), each template is
 * recognised as the format it is, and what is not known is refused with the list of names. */
#include "check.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "text/chat.h"

#include <dirent.h>

static char *dir;
static json_t *fixture;

static const char *text_of(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

enum { MOST_MESSAGES = 8 };

static size_t conversation(size_t c, tp_chat_message out[MOST_MESSAGES]) {
    const json_t *list = json_array_get(json_object_get(fixture, "conversations"), c);
    for (size_t i = 0; i < json_array_size(list); i++)
        out[i] =
            (tp_chat_message){text_of(json_array_get(list, i), "role"), text_of(json_array_get(list, i), "content")};
    return json_array_size(list);
}

/* The chat renders what the reference has for this template; the number of texts compared. */
static int same_texts(const tp_chat *chat, const json_t *template) {
    const json_t *texts = json_object_get(template, "texts");
    int n_errors = 0, n_same = 0;
    for (size_t c = 0; c < json_array_size(texts); c++) {
        tp_chat_message messages[MOST_MESSAGES];
        size_t n = conversation(c, messages);
        for (int generate = 0; generate < 2; generate++) {
            const char *bos = text_of(template, "bos");
            tp_chat_options options = {.generate = generate, .bos = *bos ? bos : NULL, .eos = text_of(template, "eos")};
            const char *expected = json_string_value(json_array_get(json_array_get(texts, c), (size_t)generate));
            tp_chat_text out;
            tp_status status = tp_chat_render(chat, messages, n, &options, &out);
            if ((expected == NULL) != (status != TP_OK))
                fail_msg("%s, conversation %zu: %s", text_of(template, "name"), c,
                         expected ? tp_last_error() : out.text);
            if (expected && (strcmp(expected, out.text) != 0 || out.len != strlen(expected)))
                fail_msg("%s, conversation %zu: \"%s\", expected \"%s\"", text_of(template, "name"), c, out.text,
                         expected);
            if (expected) assert_int_equal(out.flags, TP_TOKENS_PARSE_SPECIAL);
            n_errors += expected == NULL;
            n_same += expected != NULL;
            tp_free(out.text);
        }
    }
    assert_true(n_errors <= 18); /* most conversations are fine for every format */
    return n_same;
}

static void every_template_is_recognised_and_rendered_alike(void **state) {
    (void)state;
    size_t i;
    const json_t *template;
    int n_same = 0, n_named = 0;
    json_array_foreach(json_object_get(fixture, "templates"), i, template) {
        tp_chat *chat = tp_chat_choose(NULL, text_of(template, "template"), NULL);
        if (chat == NULL) fail_msg("%s: %s", text_of(template, "name"), tp_last_error());
        assert_string_equal(tp_chat_name(chat), text_of(template, "format"));
        n_same += same_texts(chat, template);
        tp_chat_free(chat);
        if (!json_is_true(json_object_get(template, "by_name"))) continue;
        n_named++;
        chat = tp_chat_choose(text_of(template, "format"), NULL, NULL);
        check_not_null(chat);
        same_texts(chat, template);
        tp_chat_free(chat);
    }
    assert_int_equal(i, 20);
    assert_int_equal(n_named, 14);
    print_message("%d texts are those of transformers\n", n_same);
}

/* qwen2 and qwen2.5 are names for ChatML with a system message of their own. */
static void named_formats_have_their_default_system_message(void **state) {
    (void)state;
    size_t i;
    const json_t *template;
    json_array_foreach(json_object_get(fixture, "templates"), i, template) {
        const char *name = text_of(template, "name");
        if (strcmp(name, "qwen2") != 0 && strcmp(name, "qwen2.5") != 0) continue;
        tp_chat *chat = tp_chat_choose(name, NULL, NULL);
        check_not_null(chat);
        assert_string_equal(tp_chat_name(chat), name);
        same_texts(chat, template);
        tp_chat_free(chat);
    }
}

static void plain_has_no_special_tokens_and_wants_bos_added(void **state) {
    (void)state;
    tp_chat *chat = tp_chat_choose("plain", NULL, NULL);
    check_not_null(chat);
    const tp_chat_message messages[] = {
        {"system", "Be brief."}, {"user", "Hello"}, {"assistant", "Hi"}, {"user", "So?"}};
    tp_chat_text out;
    check_ok(tp_chat_render(chat, messages, 4, &(tp_chat_options){.generate = true, .bos = "<s>"}, &out));
    assert_string_equal(out.text, "Be brief.\n\nUser: Hello\nAssistant: Hi\nUser: So?\nAssistant:");
    assert_int_equal(out.flags, TP_TOKENS_ADD_SPECIAL);
    tp_free(out.text);
    tp_chat_free(chat);
}

static void the_date_can_be_told(void **state) {
    (void)state;
    tp_chat *chat = tp_chat_choose("llama3.1", NULL, NULL);
    check_not_null(chat);
    tp_chat_text out;
    check_ok(tp_chat_render(chat, &(tp_chat_message){"user", "x"}, 1, &(tp_chat_options){.date = "22 Nov 2026"}, &out));
    assert_non_null(strstr(out.text, "Today Date: 22 Nov 2026\n\n<|eot_id|>"));
    tp_free(out.text);
    tp_chat_free(chat);
}

static void what_is_unknown_is_refused_with_the_names(void **state) {
    (void)state;
    static const char *const unknown[] = {
        "", "{{ messages }}", "{% for m in messages %}[gMASK]<sop><|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}",
        /* ChatML with thoughts, and with trimmed texts, are not the formats of the table */
        "{{ '<|im_start|>assistant\n<think>\n' }}<|im_end|>",
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>\n' }}"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_null(tp_chat_choose(NULL, unknown[i], NULL));
        assert_int_equal(tp_last_status(), TP_ERR_UNSUPPORTED);
        for (size_t k = 0; tp_chat_known(k); k++) assert_non_null(strstr(tp_last_error(), tp_chat_known(k)));
        assert_non_null(strstr(tp_last_error(), "--chat-template"));
    }
    assert_null(tp_chat_choose("vicuna", NULL, NULL));
    assert_non_null(strstr(tp_last_error(), "vicuna"));
    assert_non_null(strstr(tp_last_error(), "mistral-v3-tekken"));
    assert_null(tp_chat_choose(NULL, NULL, NULL));
    assert_non_null(strstr(tp_last_error(), "no chat template"));
}

static void roles_are_checked(void **state) {
    (void)state;
    tp_chat *chat = tp_chat_choose("chatml", NULL, NULL);
    check_not_null(chat);
    tp_chat_text out;
    tp_chat_options options = {0};
    assert_int_equal(tp_chat_render(chat, &(tp_chat_message){"tool", "x"}, 1, &options, &out), TP_ERR_ARGUMENT);
    assert_non_null(strstr(tp_last_error(), "\"tool\""));
    assert_int_equal(tp_chat_render(chat, NULL, 0, &options, &out), TP_ERR_ARGUMENT);
    tp_chat_free(chat);
}

static void write_in(const char *name, const char *text) {
    char *path = tp_path_join(dir, name);
    check_ok(tp_write_file(path, text, strlen(text)));
    tp_free(path);
}

static void expect_in_folder(const char *name) {
    tp_chat *chat = tp_chat_choose(NULL, NULL, dir);
    check_not_null(chat);
    assert_string_equal(tp_chat_name(chat), name);
    tp_chat_free(chat);
}

#define CHATML "<|im_start|><|im_end|>"
#define GEMMA  "<start_of_turn><end_of_turn>trim"

static void templates_are_found_in_folders(void **state) {
    (void)state;
    assert_null(tp_chat_choose(NULL, NULL, dir));
    assert_non_null(strstr(tp_last_error(), dir));
    write_in("tokenizer_config.json", "{\"model_max_length\": 1000000000000000019884624838656, \"bos_token\": null}");
    assert_null(tp_chat_choose(NULL, NULL, dir));
    assert_non_null(strstr(tp_last_error(), "no chat template"));
    write_in("tokenizer_config.json", "{\"chat_template\": \"" CHATML "\"}");
    expect_in_folder("chatml");
    write_in("tokenizer_config.json", "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"" CHATML "\"}, "
                                      "{\"name\": \"default\", \"template\": \"" GEMMA "\"}]}");
    expect_in_folder("gemma");
    write_in("chat_template.jinja", CHATML);
    expect_in_folder("chatml"); /* the newer place wins */
    write_in("chat_template.jinja", "else");
    assert_null(tp_chat_choose(NULL, NULL, dir));
    assert_non_null(strstr(tp_last_error(), "chat_template.jinja"));
    write_in("tokenizer_config.json", "{\"chat_template\": ");
    char *path = tp_path_join(dir, "chat_template.jinja");
    assert_int_equal(unlink(path), 0);
    assert_null(tp_chat_choose(NULL, NULL, dir));
    assert_int_equal(tp_last_status(), TP_ERR_FORMAT);
    write_in("chat_template.jinja", GEMMA);
    tp_chat *chat = tp_chat_choose(path, NULL, NULL); /* a file that holds a template */
    check_not_null(chat);
    assert_string_equal(tp_chat_name(chat), "gemma");
    tp_chat_free(chat);
    tp_free(path);
}

/* Templates of published checkpoints, which are not part of the repository: FORMAT@ANY.jinja in the folder that
 * TELEPATHY_CHAT_TEMPLATES names, with "//BOS EOS" in the first line, must be recognised as the format. */
static void templates_of_checkpoints_are_recognised(void **state) {
    (void)state;
    const char *folder = getenv("TELEPATHY_CHAT_TEMPLATES");
    DIR *entries = folder ? opendir(folder) : NULL;
    if (entries == NULL) {
        fprintf(stderr, "SKIPPED: TELEPATHY_CHAT_TEMPLATES names no folder of templates, %s did not run\n", __func__);
        skip();
    }
    int n = 0;
    for (struct dirent *e; (e = readdir(entries)) != NULL;) {
        if (!tp_ends_with(e->d_name, ".jinja")) continue;
        char *path = tp_path_join(folder, e->d_name), *text, *name = tp_strndup(e->d_name, strcspn(e->d_name, "@"));
        size_t length, i;
        check_ok(tp_read_file(path, 0, &text, &length));
        tp_chat *chat = tp_chat_choose(NULL, strchr(text, '\n') + 1, NULL);
        if (chat == NULL) fail_msg("%s: %s", e->d_name, tp_last_error());
        const json_t *template, *same = NULL;
        json_array_foreach(json_object_get(fixture, "templates"), i,
                           template) if (strcmp(text_of(template, "name"), name) == 0) same = template;
        if (same == NULL) fail_msg("no format %s", name);
        assert_string_equal(tp_chat_name(chat), text_of(same, "format"));
        same_texts(chat, same);
        tp_chat_free(chat);
        tp_free(text);
        tp_free(path);
        tp_free(name);
        n++;
    }
    closedir(entries);
    print_message("%d templates of checkpoints\n", n);
    assert_true(n > 0);
}

static int set_up(void **state) {
    (void)state;
    dir = check_temp_dir();
    fixture = tp_json_load_file(TP_SOURCE_DIR "/tests/fixtures/text/chat.json");
    return fixture ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    json_decref(fixture);
    check_remove_dir(dir);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_template_is_recognised_and_rendered_alike),
        cmocka_unit_test(named_formats_have_their_default_system_message),
        cmocka_unit_test(plain_has_no_special_tokens_and_wants_bos_added),
        cmocka_unit_test(the_date_can_be_told),
        cmocka_unit_test(what_is_unknown_is_refused_with_the_names),
        cmocka_unit_test(roles_are_checked),
        cmocka_unit_test(templates_are_found_in_folders),
        cmocka_unit_test(templates_of_checkpoints_are_recognised),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* The demonstration's questions: made by a grammar of our own, because the repository may not hold others' data sets.
 *
 * They are SYNTHETIC, in the shape of TREC's six coarse classes. Templates and words for train and for test are two
 * disjoint sets (tasks/demo.json), so a test question is never a training question with another name in it. A result on
 * them says that the machinery works, and nothing about questions that people ask. */
#ifndef TP_DATA_DEMO_QUESTIONS_H
#define TP_DATA_DEMO_QUESTIONS_H

#include "base/json.h"
#include "data/rows.h"
#include "data/task.h"

/* Appends the questions of one side ("train" or "test") of the grammar, `count` of them, the task's labels in equal
 * parts and in random order, no text twice. The same every time: nothing but the grammar and the side decides. */
tp_status tp_demo_questions(json_t *grammar, const char *side, size_t count, const tp_task *task, tp_rows *rows);

#endif

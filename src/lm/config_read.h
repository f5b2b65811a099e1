/* What the files that read config.json share. Not for others. */
#ifndef TP_LM_CONFIG_READ_H
#define TP_LM_CONFIG_READ_H

#include "base/json.h"
#include "lm/family.h"

/* Records that a well-formed value asks for something this program does not do. */
void tp_config_unsupported(tp_json_reader *r, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether the key is there with the value null, which to some keys means something else than its absence. */
bool tp_config_is_null(const tp_json_reader *r, const char *key);

/* The rotary settings; sizes are there already. */
void tp_config_read_rope(tp_json_reader *r, const tp_lm_family_row *row, tp_lm_config *c);

#endif

/* The largest values a config.json may ask for. They are several times those of any published decoder, and small enough
 * that products of two of them never overflow 64 bits: code behind tp_lm_config_read multiplies without fear. */
#ifndef TP_LM_CONFIG_LIMITS_H
#define TP_LM_CONFIG_LIMITS_H

enum {
    TP_LM_MAX_VOCAB = 1 << 24,
    TP_LM_MAX_WIDTH = 1 << 17, /* d_model */
    TP_LM_MAX_FF = 1 << 20,
    TP_LM_MAX_LAYERS = 1024,
    TP_LM_MAX_HEADS = 1024,
    TP_LM_MAX_HEAD_DIM = 1024,
    TP_LM_MAX_POSITIONS = 1 << 30,
};

/* The divisors of LongRoPE: published ones go from 1 to some 70. */
#define TP_LM_MIN_LONG_FACTOR 0.01
#define TP_LM_MAX_LONG_FACTOR 1e6

#endif

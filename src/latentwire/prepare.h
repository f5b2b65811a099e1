/* A new LatentWire, from what is measured: statistics of what its encoder reads, the receivers' embeddings. */
#ifndef TP_LATENTWIRE_PREPARE_H
#define TP_LATENTWIRE_PREPARE_H

#include "latentwire/source.h"

/* Measures over `calibration.texts` of the n training texts, and gives the group its wire. The tape is scratch. */
tp_status tp_latentwire_make(tp_latentwire_group *group, tp_latentwire_source *texts, int64_t n, tp_tape *tape);

#endif

/* Of which source this program was built. */
#ifndef TP_CLI_REVISION_H
#define TP_CLI_REVISION_H

/* The commit as `git describe --always --dirty` names it; "unknown" where the source is no repository. Written by the
 * build (cmake/revision.cmake), anew whenever it changes. */
extern const char *const tp_revision;

#endif

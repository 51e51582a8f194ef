/* Log lines on standard error: "2026-01-02T03:04:05.678Z level message". One write per line, which
 * never waits: what can't be written (a full disk, a pipe that nobody reads) is lost, and how many
 * lines were is said before the next one that can be. */
#ifndef SEVER_BASE_LOG_H
#define SEVER_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines above this level are not written. Default LOG_LEVEL_INFO. Call before threads start. */
void log_set_level(enum log_level level);
/* "error", "warn", "info", "debug" -> level; -EINVAL for anything else. */
int log_parse_level(const char *text, enum log_level *level);
/* Any thread. Keeps errno. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif

// A client of the engine: cc -o client client.c && ./client SOCKET MODEL PROMPT. What is said is in docs/wire.md.
// It keeps what it reads until it ends, which is with the one answer that it asks for.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static FILE *in, *out;

static uint32_t number(int bytes) { uint32_t n = 0; while (bytes--) n = n << 8 | (uint8_t)getc(in); return n; }

// Reads a value of msgpack, with all that is in it. Returns a string; NULL for anything else.
static char *value(void) {
  const int tag = getc(in), wide = tag >= 0xd9 && tag <= 0xdb, string = wide || (tag >= 0xa0 && tag <= 0xbf);
  uint32_t bytes = wide ? number(1 << (tag - 0xd9)) : string ? tag & 31 : 0, values = 0;
  if (tag >= 0xca && tag <= 0xd3) bytes = "\4\10\1\2\4\10\1\2\4\10"[tag - 0xca];      // numbers, by their width
  if (tag >= 0x80 && tag <= 0x9f) values = (tag & 15) << (tag < 0x90);                // a map has two for each entry
  if (tag >= 0xdc && tag <= 0xdf) values = number(tag & 1 ? 4 : 2) << (tag >= 0xde);
  while (values--) value();
  char *text = calloc(bytes + 1, 1);
  return fread(text, 1, bytes, in) == bytes && string ? text : NULL;
}

static void put_number(uint32_t n) { fprintf(out, "%c%c%c%c", n >> 24, n >> 16 & 255, n >> 8 & 255, n & 255); }
static void put_text(const char *text) { putc(0xdb, out), put_number(strlen(text)), fputs(text, out); }

int main(int argc, char **argv) {
  static const char hello[] = "\0\0\0\x1e\x82\xa4type\xa5Hello\xb0protocol_version\1", prompt[] = "\xa6prompt";
  static const char run[] = "\x83\xa4type\xa3Run\xaarequest_id\1\xa7request\x82\xa5model";
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const int engine = socket(AF_UNIX, SOCK_STREAM, 0);
  if (argc != 4) return 2;
  snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
  if (connect(engine, (struct sockaddr *)&address, sizeof address)) return perror(argv[1]), 5;
  in = fdopen(engine, "r"), out = fdopen(engine, "w");
  fwrite(hello, 1, sizeof hello - 1, out);
  put_number(strlen(run) + 5 + strlen(argv[2]) + strlen(prompt) + 5 + strlen(argv[3]));
  fputs(run, out), put_text(argv[2]), fputs(prompt, out), put_text(argv[3]), fflush(out);
  while (number(4), !feof(in)) {  // the length of a frame, which its map tells too
    char *type = "", *text = "";
    const int tag = getc(in);
    for (int entries = tag == 0xde ? (int)number(2) : tag & 15; entries--;) {
      char *name = value(), *content = value();
      if (!strcmp(name, "type")) type = content;
      if (!strcmp(name, "text") || !strcmp(name, "message")) text = content;
    }
    if (!strcmp(type, "Tokens")) fputs(text, stdout), fflush(stdout);
    if (!strcmp(type, "Failed")) return fprintf(stderr, "%s\n", text), 1;
    if (!strcmp(type, "Finished")) return putchar('\n'), 0;
  }
  return fputs("the engine hung up\n", stderr), 5;
}

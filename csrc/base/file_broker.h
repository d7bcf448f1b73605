#pragma once

#include <string>

namespace engine {

// Files that a request names. The process opens them itself; where its sandbox keeps it from them, the broker outside
// does (engine/sandbox/broker.py), over a socket that it passes descriptors through. Thread-safe.

// The broker's socket, which stays the caller's and open. -1: there is none.
void set_file_broker(int socket);

// A descriptor to read a file with, which does not wait for a pipe's writer. Throws std::system_error.
int open_to_read(const std::string& path);

// A descriptor to write a file with that was not there. Throws std::system_error: EEXIST where it is.
int open_new(const std::string& path);

// Gives such a file another name in its folder, which nothing has. Throws std::system_error: EEXIST where something has
// it.
void name_new(const std::string& path, const std::string& name);

// Removes such a file, if it can be.
void remove_new(const std::string& path);

}  // namespace engine

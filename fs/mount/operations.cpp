// SPDX-License-Identifier: GPL-3.0-or-later
// Operations: see operations.h. Which calls there are and what the kernel makes of the answers: fuse_lowlevel.h of
// libfuse 3.14.
#include "fs/mount/operations.h"

#include "fs/mount/fuse_api.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>

#include "config/base/log.h"
#include "config/base/units.h"

namespace cairn {
namespace {

constexpr double kForEver = 30.0 * 24 * 3600;  // seconds; nothing inside a point ever changes
constexpr double kNameSeconds = 60;     // machines and points: the watcher says when they go, this is the safety net
constexpr double kFleetingSeconds = 1;  // `latest`, and attributes of directories that follow the store

constexpr std::uint64_t kWholePoint = ~std::uint64_t{0};  // FailureLog: the document, not a chunk

Served& served_of(fuse_req_t request) {
  return *static_cast<Served*>(fuse_req_userdata(request));
}

// The door: nothing thrown passes into libfuse. `body` answers as its last act.
template <class Body>
void answer(fuse_req_t request, const char* call, Body body) {
  try {
    body(served_of(request));
  } catch (const std::bad_alloc&) {
    log_event(LogLevel::error, "call-failed", call, {{"error", "out of memory"}});
    fuse_reply_err(request, ENOMEM);
  } catch (const std::exception& problem) {
    log_event(LogLevel::error, "call-failed", call, {{"error", problem.what()}});
    fuse_reply_err(request, EIO);
  }
}

struct stat to_stat(const Served& served, const NodeAttributes& attributes) {
  struct stat out{};
  out.st_ino = attributes.inode;
  out.st_nlink = attributes.links;
  out.st_uid = geteuid();
  out.st_gid = getegid();
  out.st_size = static_cast<off_t>(attributes.size);
  out.st_blocks = static_cast<blkcnt_t>(attributes.blocks);
  out.st_blksize = 4096;
  switch (attributes.kind) {
    case NodeKind::directory:
      out.st_mode = S_IFDIR | (served.allow_other ? 0555U : 0500U);
      break;
    case NodeKind::file:
      out.st_mode = S_IFREG | (served.allow_other ? 0444U : 0400U);
      break;
    case NodeKind::link:
      out.st_mode = S_IFLNK | 0777U;
      break;
  }
  out.st_atim.tv_sec = out.st_mtim.tv_sec = out.st_ctim.tv_sec = attributes.time.time_since_epoch().count();
  return out;
}

double attribute_seconds(const NodeAttributes& attributes) {
  return attributes.validity == Validity::constant ? kForEver : kFleetingSeconds;
}

fuse_entry_param to_entry(const Served& served, const FoundNode& node) {
  fuse_entry_param entry{};
  entry.ino = node.attributes.inode;
  entry.attr = to_stat(served, node.attributes);
  entry.attr_timeout = attribute_seconds(node.attributes);
  if (node.name_validity == Validity::constant)
    entry.entry_timeout = kForEver;
  else
    entry.entry_timeout = node.attributes.kind == NodeKind::link ? kFleetingSeconds : kNameSeconds;
  return entry;
}

// Answers with the error of a point that cannot be shown, and says so in the log when that is news.
void refuse(fuse_req_t request, Served& served, InodeNumber inode, const Error& error) {
  // It went between the look-up and now: no damage.
  const bool gone = error.code == ErrorCode::point_missing || error.code == ErrorCode::object_missing;
  if (!gone && served.failures.is_news(inode >> 16, kWholePoint)) log_error("point-unreadable", error.object, error);
  fuse_reply_err(request, gone ? ENOENT : to_errno(error));
}

// Looks whether points came or went, for names that the tree does not have. The watcher tells the kernel what changed:
// a callback must not, since the kernel holds the directory's lock while it waits for us.
void look_again(Served& served) {
  (void)served.tree.refresh(RefreshMode::if_changed);  // a store that cannot be listed is the watcher's to report
  if (served.tree.has_changes()) served.changes_waiting();
}

void on_init(void* user_data, fuse_conn_info* connection) {
  const auto choose = [&](unsigned capability, bool wanted) {
    if (wanted && (connection->capable & capability) != 0)
      connection->want |= capability;
    else
      connection->want &= ~capability;
  };
  choose(FUSE_CAP_ASYNC_READ, true);
  choose(FUSE_CAP_ASYNC_DIO, true);
  choose(FUSE_CAP_PARALLEL_DIROPS, true);
  choose(FUSE_CAP_READDIRPLUS, true);
  choose(FUSE_CAP_READDIRPLUS_AUTO, true);
  choose(FUSE_CAP_CACHE_SYMLINKS, true);
  choose(FUSE_CAP_EXPLICIT_INVAL_DATA, true);
  // Sizes and times never change, so cached data need not be checked against them.
  choose(FUSE_CAP_AUTO_INVAL_DATA, false);
  // Requests are small and answers come from memory: a pipe in between only costs system calls.
  choose(FUSE_CAP_SPLICE_READ, false);
  choose(FUSE_CAP_SPLICE_WRITE, false);
  choose(FUSE_CAP_SPLICE_MOVE, false);
  choose(FUSE_CAP_EXPORT_SUPPORT, false);
  choose(FUSE_CAP_WRITEBACK_CACHE, false);
  connection->max_read = kMaxReadBytes;   // as the mount option; libfuse wants both
  connection->max_write = kMaxReadBytes;  // nothing is written: libfuse derives the pages of a request from it
  connection->max_background = 64;
  connection->congestion_threshold = 48;
  static_cast<Served*>(user_data)->answering();
}

void on_lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  answer(request, "lookup", [&](Served& served) {
    auto found = served.tree.lookup(parent, name);
    if (found && !*found) {
      look_again(served);
      found = served.tree.lookup(parent, name);
    }
    if (!found) return refuse(request, served, parent, found.error());
    // ENOENT, not an entry without inode: that a name is missing is never kept by the kernel.
    if (!*found) return static_cast<void>(fuse_reply_err(request, ENOENT));
    const fuse_entry_param entry = to_entry(served, **found);
    fuse_reply_entry(request, &entry);
  });
}

void on_getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
  answer(request, "getattr", [&](Served& served) {
    const auto attributes = served.tree.attributes(inode);
    if (!attributes) return refuse(request, served, inode, attributes.error());
    if (!*attributes) return static_cast<void>(fuse_reply_err(request, ESTALE));
    const struct stat out = to_stat(served, **attributes);
    fuse_reply_attr(request, &out, attribute_seconds(**attributes));
  });
}

void on_readlink(fuse_req_t request, fuse_ino_t inode) {
  answer(request, "readlink", [&](Served& served) {
    const auto target = served.tree.link_target(inode);
    if (!target) return static_cast<void>(fuse_reply_err(request, ESTALE));
    fuse_reply_readlink(request, target->c_str());
  });
}

void on_open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
  answer(request, "open", [&](Served& served) {
    if ((info->flags & O_ACCMODE) != O_RDONLY || (info->flags & O_TRUNC) != 0)
      return static_cast<void>(fuse_reply_err(request, EROFS));
    auto content = served.tree.open_file(inode);
    if (!content) return refuse(request, served, inode, content.error());
    if (!*content) return static_cast<void>(fuse_reply_err(request, ESTALE));
    std::shared_ptr<OpenDisk> disk;
    if ((*content)->image != nullptr) {
      auto opened = served.disks.open(inode, **content);
      if (!opened) return refuse(request, served, inode, opened.error());
      disk = *std::move(opened);
    }
    info->fh = served.handles.keep(
        std::make_unique<OpenFile>(inode, **std::move(content), std::move(disk), served.read_ahead_bytes));
    info->keep_cache = 1;
    info->noflush = 1;
    // When it fails the opener is gone, and no release will come.
    if (const std::uint64_t handle = info->fh; fuse_reply_open(request, info) != 0) served.handles.drop(handle);
  });
}

void on_release(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  served_of(request).handles.drop(info->fh);
  fuse_reply_err(request, 0);
}

// What one thread opens ahead at once: large enough that its packs are read in large runs.
constexpr std::uint64_t kReadAheadPart = kMiB;

// Has the range opened into the cache, in parts that several threads can share.
void ask_ahead(Served& served, const OpenFile& file, ByteSpan span) {
  const std::uint64_t chunk_size = file.disk->reader->chunk_size();
  const std::uint64_t count = file.disk->reader->chunk_count();
  const std::uint64_t part = std::max<std::uint64_t>(1, kReadAheadPart / chunk_size);
  const std::uint64_t end = std::min(count, (span.offset + span.size + chunk_size - 1) / chunk_size);
  for (std::uint64_t first = span.offset / chunk_size; first < end; first += part) {
    const bool taken = served.read_ahead.ask([disk = file.disk, first, last = std::min(end, first + part)] {
      thread_local std::vector<Result<SharedBuffer>> chunks;  // allocated once a thread
      disk->reader->chunks(first, last - first, chunks);
      chunks.clear();  // the cache has them
    });
    if (!taken) return;
  }
}

void log_read_failure(Served& served, const OpenFile& file, std::uint64_t chunk, std::uint64_t offset,
                      const Error& error) {
  if (!served.failures.is_news(file.inode, chunk)) return;
  log_event(LogLevel::error, "read-failed", file.content.image->object,
            {{"offset", offset}, {"error", error.name()}, {"message", error.message()}});
}

// A read of so little, in no sequence, opens no whole chunk for it.
constexpr std::uint64_t kMaxPartBytes = 32 * kKiB;
constexpr std::uint64_t kPartShare = 4;  // and at most one part in so many of a chunk

// False: nothing was answered; the read is to be done in the usual way, which also says what is wrong.
bool answer_part(fuse_req_t request, DiskReader& disk, ByteOffset offset, ByteCount size) {
  if (size.bytes() > kMaxPartBytes || size.bytes() > disk.chunk_size() / kPartShare) return false;
  thread_local std::array<std::uint8_t, kMaxPartBytes> bytes;
  const auto got = disk.read_part(offset.from_start(), MutableBytes(bytes).first(size.in_memory()));
  if (!got) return false;
  fuse_reply_buf(request, reinterpret_cast<const char*>(bytes.data()), *got);
  return true;
}

void on_read(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* info) {
  answer(request, "read", [&](Served& served) {
    OpenFile& file = *reinterpret_cast<OpenFile*>(info->fh);
    const ByteOffset from(static_cast<std::uint64_t>(offset));
    const ByteCount count(size);
    if (!file.disk) {
      const std::string_view text = file.content.text;
      const std::string_view part =
          from < end_of(ByteCount(text.size())) ? text.substr(from.from_start(), size) : std::string_view{};
      fuse_reply_buf(request, part.data(), part.size());
      return;
    }
    std::optional<ByteSpan> ahead;
    bool in_sequence = false;
    {
      const auto sequence = file.sequence.lock();
      ahead = sequence->on_read(from, count);
      in_sequence = sequence->is_in_sequence();
    }
    if (!in_sequence && answer_part(request, *file.disk->reader, from, count)) return;
    if (ahead) ask_ahead(served, file, *ahead);

    thread_local ReadPieces pieces;  // so that the vectors are allocated once a thread
    gather(*file.disk->reader, from, count, pieces);
    if (pieces.failure) {
      // Never the good part alone: the kernel takes a short answer for the end of the file and cuts its idea of the
      // size. It asks again page by page, so a reader gets all that is good up to the damage, and EIO there.
      log_read_failure(served, file, pieces.failed_chunk, pieces.failed_offset, *pieces.failure);
      const int code = to_errno(*pieces.failure);
      pieces.clear();
      return static_cast<void>(fuse_reply_err(request, code));
    }
    if (pieces.pieces.size() == 1)
      fuse_reply_buf(request, static_cast<const char*>(pieces.pieces[0].iov_base), pieces.pieces[0].iov_len);
    else
      fuse_reply_iov(request, pieces.pieces.data(), static_cast<int>(pieces.pieces.size()));
    pieces.clear();
  });
}

void on_lseek(fuse_req_t request, fuse_ino_t, off_t offset, int whence, fuse_file_info* info) {
  answer(request, "lseek", [&](Served& served) {
    const OpenFile& file = *reinterpret_cast<OpenFile*>(info->fh);
    const auto from = static_cast<std::uint64_t>(offset);
    const std::uint64_t size = file.disk ? file.disk->reader->size() : file.content.text.size();
    if (whence != SEEK_DATA && whence != SEEK_HOLE) return static_cast<void>(fuse_reply_err(request, EINVAL));
    if (offset < 0 || from >= size) return static_cast<void>(fuse_reply_err(request, ENXIO));
    if (!file.disk)
      return static_cast<void>(fuse_reply_lseek(request, whence == SEEK_DATA ? offset : static_cast<off_t>(size)));
    Result<std::optional<std::uint64_t>> found = std::optional<std::uint64_t>{};
    if (whence == SEEK_DATA) {
      found = file.disk->reader->seek_data(from);
    } else {
      auto hole = file.disk->reader->seek_hole(from);
      if (hole)
        found = std::optional(*hole);
      else
        found = pass_on(std::move(hole).error());
    }
    if (!found) {
      log_read_failure(served, file, from / file.disk->reader->chunk_size(), from, found.error());
      return static_cast<void>(fuse_reply_err(request, to_errno(found.error())));
    }
    if (!*found) return static_cast<void>(fuse_reply_err(request, ENXIO));
    fuse_reply_lseek(request, static_cast<off_t>(**found));
  });
}

// One open directory. The kernel reads it by one thread at a time for one open file.
struct OpenDirectory {
  PointTree::Directory directory;
};

void on_opendir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
  answer(request, "opendir", [&](Served& served) {
    auto directory = served.tree.open_directory(inode);
    if (directory && *directory && (*directory)->validity() == Validity::follows_store) {
      look_again(served);
      directory = served.tree.open_directory(inode);
    }
    if (!directory) return refuse(request, served, inode, directory.error());
    if (!*directory) return static_cast<void>(fuse_reply_err(request, ESTALE));
    const bool constant = (*directory)->validity() == Validity::constant;
    info->fh = served.handles.keep(std::make_unique<OpenDirectory>(OpenDirectory{**std::move(directory)}));
    info->cache_readdir = constant ? 1 : 0;
    info->keep_cache = constant ? 1 : 0;
    if (const std::uint64_t handle = info->fh; fuse_reply_open(request, info) != 0) served.handles.drop(handle);
  });
}

void on_releasedir(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  served_of(request).handles.drop(info->fh);
  fuse_reply_err(request, 0);
}

enum class EntryForm { plain, with_attributes };

void list_directory(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info* info,
                    EntryForm form) {
  answer(request, "readdir", [&](Served& served) {
    OpenDirectory& open = *reinterpret_cast<OpenDirectory*>(info->fh);
    // rewinddir(3) must show what came since.
    if (offset == 0 && open.directory.validity() == Validity::follows_store) {
      auto again = served.tree.open_directory(inode);
      if (again && *again) open.directory = **std::move(again);
    }
    thread_local std::vector<char> buffer;
    buffer.resize(size);
    std::size_t used = 0;
    std::string terminated;
    open.directory.list(static_cast<std::uint64_t>(offset),
                        [&](std::string_view name, const FoundNode& node, std::uint64_t cookie) {
                          terminated = name;
                          fuse_entry_param entry = to_entry(served, node);
                          std::size_t needed = 0;
                          if (form == EntryForm::plain) {
                            needed = fuse_add_direntry(request, buffer.data() + used, size - used, terminated.c_str(),
                                                       &entry.attr, static_cast<off_t>(cookie));
                          } else {
                            if (name == "." || name == "..") entry.ino = 0;  // not a look-up
                            needed = fuse_add_direntry_plus(request, buffer.data() + used, size - used,
                                                            terminated.c_str(), &entry, static_cast<off_t>(cookie));
                          }
                          if (needed > size - used) return false;
                          used += needed;
                          return true;
                        });
    fuse_reply_buf(request, buffer.data(), used);
  });
}

void on_readdir(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info* info) {
  list_directory(request, inode, size, offset, info, EntryForm::plain);
}

void on_readdirplus(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info* info) {
  list_directory(request, inode, size, offset, info, EntryForm::with_attributes);
}

// Tells how full the store is: nothing else about the mount has a size that means anything.
void on_statfs(fuse_req_t request, fuse_ino_t) {
  answer(request, "statfs", [&](Served& served) {
    struct statvfs out{};
    if (statvfs(served.store_path.c_str(), &out) != 0) out = {};
    out.f_namemax = 255;
    out.f_files = served.tree.point_count();
    out.f_ffree = out.f_favail = 0;
    if (out.f_bsize == 0) out.f_bsize = out.f_frsize = 4096;
    fuse_reply_statfs(request, &out);
  });
}

void on_access(fuse_req_t request, fuse_ino_t, int mask) {
  fuse_reply_err(request, (mask & W_OK) != 0 ? EROFS : 0);
}

// Extended attributes are not implemented here: libfuse answers ENOSYS, and the kernel never asks again.
fuse_lowlevel_ops make_operations() {
  fuse_lowlevel_ops ops{};
  ops.init = on_init;
  ops.lookup = on_lookup;
  ops.getattr = on_getattr;
  ops.readlink = on_readlink;
  ops.open = on_open;
  ops.read = on_read;
  ops.release = on_release;
  ops.lseek = on_lseek;
  ops.opendir = on_opendir;
  ops.readdir = on_readdir;
  ops.readdirplus = on_readdirplus;
  ops.releasedir = on_releasedir;
  ops.statfs = on_statfs;
  ops.access = on_access;
  // The mount is read-only, so the kernel refuses these itself; a bind mount that is not still meets them here.
  ops.setattr = [](fuse_req_t r, fuse_ino_t, struct stat*, int, fuse_file_info*) { fuse_reply_err(r, EROFS); };
  ops.mknod = [](fuse_req_t r, fuse_ino_t, const char*, mode_t, dev_t) { fuse_reply_err(r, EROFS); };
  ops.mkdir = [](fuse_req_t r, fuse_ino_t, const char*, mode_t) { fuse_reply_err(r, EROFS); };
  ops.unlink = [](fuse_req_t r, fuse_ino_t, const char*) { fuse_reply_err(r, EROFS); };
  ops.rmdir = [](fuse_req_t r, fuse_ino_t, const char*) { fuse_reply_err(r, EROFS); };
  ops.symlink = [](fuse_req_t r, const char*, fuse_ino_t, const char*) { fuse_reply_err(r, EROFS); };
  ops.rename = [](fuse_req_t r, fuse_ino_t, const char*, fuse_ino_t, const char*, unsigned) {
    fuse_reply_err(r, EROFS);
  };
  ops.link = [](fuse_req_t r, fuse_ino_t, fuse_ino_t, const char*) { fuse_reply_err(r, EROFS); };
  ops.write = [](fuse_req_t r, fuse_ino_t, const char*, std::size_t, off_t, fuse_file_info*) {
    fuse_reply_err(r, EROFS);
  };
  ops.create = [](fuse_req_t r, fuse_ino_t, const char*, mode_t, fuse_file_info*) { fuse_reply_err(r, EROFS); };
  ops.fallocate = [](fuse_req_t r, fuse_ino_t, int, off_t, off_t, fuse_file_info*) { fuse_reply_err(r, EROFS); };
  ops.setxattr = [](fuse_req_t r, fuse_ino_t, const char*, const char*, std::size_t, int) { fuse_reply_err(r, EROFS); };
  ops.removexattr = [](fuse_req_t r, fuse_ino_t, const char*) { fuse_reply_err(r, EROFS); };
  return ops;
}

}  // namespace

const fuse_lowlevel_ops& mount_operations() {
  static const fuse_lowlevel_ops operations = make_operations();
  return operations;
}

}  // namespace cairn

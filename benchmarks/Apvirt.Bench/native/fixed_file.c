/* The least that libfuse3 needs to serve one file with a fixed text: what a mount is measured against. */
#define FUSE_USE_VERSION 34
#include <errno.h>
#include <fuse3/fuse_lowlevel.h>
#include <string.h>

static const char text[] = "0x0000000000000000000000000000000000000000000000000000000000000000\n";

static void fill(fuse_ino_t ino, struct stat *st)
{
    memset(st, 0, sizeof *st);
    st->st_ino = ino;
    st->st_mode = ino == 1 ? S_IFDIR | 0755 : S_IFREG | 0444;
    st->st_nlink = 1;
    st->st_size = ino == 1 ? 0 : sizeof text - 1;
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param e = { .ino = 2, .attr_timeout = 1e9, .entry_timeout = 1e9 };
    if (parent != 1 || strcmp(name, "file") != 0) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    fill(2, &e.attr);
    fuse_reply_entry(req, &e);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;
    (void)fi;
    fill(ino, &st);
    fuse_reply_attr(req, &st, 1e9);
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fuse_reply_open(req, fi);
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    size_t length = sizeof text - 1;
    (void)ino;
    (void)fi;
    if ((size_t)off >= length)
        fuse_reply_buf(req, NULL, 0);
    else
        fuse_reply_buf(req, text + off, size < length - off ? size : length - off);
}

int main(int argc, char **argv)
{
    static const struct fuse_lowlevel_ops operations = { .lookup = do_lookup, .getattr = do_getattr, .open = do_open, .read = do_read };
    char *options[] = { argv[0], "-o", "allow_other" };
    struct fuse_args args = FUSE_ARGS_INIT(3, options);
    struct fuse_session *session = argc == 2 ? fuse_session_new(&args, &operations, sizeof operations, NULL) : NULL;
    if (session == NULL || fuse_set_signal_handlers(session) != 0 || fuse_session_mount(session, argv[1]) != 0)
        return 1;
    fuse_session_loop(session);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    return 0;
}

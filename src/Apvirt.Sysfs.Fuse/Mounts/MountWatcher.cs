using System.Diagnostics;

namespace Apvirt.Sysfs.Fuse.Mounts;

/// <summary>
/// A process of its own that watches over a mount and takes it away when this one dies, however it dies (sysfs.md §0).
/// Disposing sends it away.
/// </summary>
/// <remarks>
/// <c>fusermount3</c> has such a watcher (<c>auto_unmount</c>), but on a loaded machine it was seen to end and leave the mount
/// of a killed server in place. This one asks until the answer is certain: a question that is on its way when the server dies
/// is answered with an aborted connection, and only the next one tells that there is none.
/// </remarks>
internal sealed class MountWatcher : IDisposable
{
    // What the last argument of the process is preceded by, so that it can be found among others.
    private const string Name = "apvirt-watch";

    // The pipe ends with the server. Only the state of the file system is never answered from a cache; a mount that answers
    // is another server's, and a directory that answers is not mounted on any more.
    private const string Script =
        """
        trap '' INT TERM HUP QUIT
        cd /
        exec >/dev/null 2>&1
        cat
        export LC_ALL=C
        while ! said=$(stat -f -- "$1" 2>&1); do
          case $said in
            *'not connected') umount -l -- "$1"; exit ;;
            *'connection abort') ;;
            *) exit ;;
          esac
        done
        """;

    private readonly Process _process;

    private MountWatcher(Process process) => _process = process;

    /// <summary>Starts a watcher in the mount namespace of the calling thread.</summary>
    /// <param name="directory">Where the mount is.</param>
    internal static MountWatcher Start(string directory) =>
        new(Process.Start(new ProcessStartInfo("/bin/sh", ["-c", Script, Name, Path.GetFullPath(directory)])
        {
            RedirectStandardInput = true,
            UseShellExecute = false,
        })!);

    /// <inheritdoc/>
    public void Dispose()
    {
        _process.StandardInput.Close();
        _process.Dispose();
    }
}

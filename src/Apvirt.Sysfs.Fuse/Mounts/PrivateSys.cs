using System.Diagnostics;
using System.Runtime.InteropServices;
using Apvirt.Devices.Sysfs;
using Apvirt.Sysfs.Fuse.Native;
using Apvirt.Sysfs.Fuse.Serving;

namespace Apvirt.Sysfs.Fuse.Mounts;

/// <summary>
/// Runs a command that sees a tree as <c>/sys</c>. The command and its children are in a mount namespace of their own:
/// nothing outside changes, and the mounts go with the last of them. What the real <c>/sys</c> has beside the tree stays
/// visible: buses, classes, devices and modules of other kinds are bound in.
/// </summary>
public static class PrivateSys
{
    private const string Sys = "/sys";
    private const int NoSuchCommand = 127;

    /// <summary>Runs a command and waits for its end.</summary>
    /// <param name="command">What to run, with its environment; shares the caller's terminal unless it says otherwise.</param>
    /// <param name="mountSys">
    /// Mounts what the command is to see on the directory given; answers why that failed, or null. It runs on a thread in
    /// the new namespace, so it must start no thread of its own.
    /// </param>
    /// <param name="tree">The tree to which names of the real <c>/sys</c> are added, as places for mounts; null if the mount has them.</param>
    /// <param name="status">The command's exit status: 128 and the signal's number if one killed it, 127 if there is no such command.</param>
    /// <returns>Why it could not be run; null if it was.</returns>
    public static string? Run(ProcessStartInfo command, Func<string, string?> mountSys, SysfsTree? tree, out int status)
    {
        string? problem = null;
        int result = 0;
        // A thread of its own, because a namespace belongs to a thread: this one's must not return to the pool.
        Thread thread = new(() => problem = RunHere(command, mountSys, tree, out result)) { Name = "apvirt private /sys" };
        thread.Start();
        thread.Join();
        status = result;
        return problem;
    }

    /// <summary>
    /// Adds to a tree that is to be mounted elsewhere first the names of the real <c>/sys</c>, so that a command that gets
    /// to see it finds them.
    /// </summary>
    /// <param name="tree">The tree.</param>
    public static void AddPlacesTo(SysfsTree tree)
    {
        using RealSys real = RealSys.Open();
        real.AddPlacesTo(tree);
    }

    /// <summary>Makes one directory visible as another, in the mount namespace of the calling thread.</summary>
    /// <param name="source">What is to be seen.</param>
    /// <param name="directory">Where.</param>
    /// <returns>Why it failed; null if it did not.</returns>
    public static string? Bind(string source, string directory) =>
        LibC.Mount(source, directory, type: null, LibC.MountBind, 0) == 0
            ? null
            : $"{source} cannot be seen as {directory}: {Marshal.GetLastPInvokeErrorMessage()}";

    private static string? RunHere(ProcessStartInfo command, Func<string, string?> mountSys, SysfsTree? tree, out int status)
    {
        status = NoSuchCommand;
        if (LibC.Unshare(LibC.NewMountNamespace) != 0)
            return $"a private mount namespace cannot be made: {Marshal.GetLastPInvokeErrorMessage()}; a container needs --cap-add SYS_ADMIN";
        if (LibC.Mount(source: null, "/", type: null, LibC.MountRecursive | LibC.MountPrivate, 0) != 0)
            return $"the mounts cannot be made private: {Marshal.GetLastPInvokeErrorMessage()}";
        using RealSys real = RealSys.Open();
        if (tree is not null)
            real.AddPlacesTo(tree);
        // Some tools look for the tree in the list of mounts, by its type; in a container there may be none.
        if (!IsSysfsListed())
            _ = LibC.Mount("sysfs", Sys, "sysfs", 0, 0);
        if (mountSys(Sys) is { } problem)
            return problem;
        real.BindInto(Sys);
        using Process? process = TryStart(command, out problem);
        if (process is null)
            return problem;
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => context.Cancel = true);
        using PosixSignalRegistration quit = PosixSignalRegistration.Create(PosixSignal.SIGQUIT, context => context.Cancel = true);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context =>
        {
            context.Cancel = true;
            process.Kill();
        });
        process.WaitForExit();
        status = process.ExitCode;
        return null;
    }

    private static bool IsSysfsListed() => File.ReadLines("/proc/thread-self/mounts").Any(line => line.Split(' ') is [_, Sys, "sysfs", ..]);

    private static Process? TryStart(ProcessStartInfo command, out string? problem)
    {
        problem = null;
        // The tree is no real sysfs, which is what libudev would like to see.
        command.Environment["SYSTEMD_DEVICE_VERIFY_SYSFS"] = "0";
        try
        {
            return Process.Start(command);
        }
        catch (System.ComponentModel.Win32Exception error)
        {
            problem = $"{command.FileName} cannot be run: {error.Message}";
            return null;
        }
    }

    /// <summary>The real <c>/sys</c>, reachable through an open directory after something else is mounted over it.</summary>
    private sealed class RealSys : IDisposable
    {
        private readonly Microsoft.Win32.SafeHandles.SafeFileHandle _top;
        private RealSys(Microsoft.Win32.SafeHandles.SafeFileHandle top) => _top = top;

        private string Top => $"/proc/thread-self/fd/{_top.DangerousGetHandle()}";

        internal static RealSys Open() => new(LibC.OpenDirectory(Sys));

        /// <summary>Adds an empty directory for each one of the real tree that the other lacks, on its first two levels.</summary>
        internal void AddPlacesTo(SysfsTree tree)
        {
            foreach (string name in NamesIn(Top))
            {
                if (!tree.Root.TryFind(name, out SysfsEntry entry))
                    tree.Root.AddDirectory(name);
                else if (entry.Directory.List().Any())
                    AddPlacesTo(entry.Directory, name);
            }
        }

        /// <summary>Binds real directories to the empty ones of the same names; those that cannot be bound stay empty.</summary>
        internal void BindInto(string directory)
        {
            foreach (string name in NamesIn(Top))
            {
                IEnumerable<string> places = IsEmptyDirectory($"{directory}/{name}")
                    ? [name]
                    : NamesIn($"{Top}/{name}").Select(inner => $"{name}/{inner}").Where(inner => IsEmptyDirectory($"{directory}/{inner}"));
                foreach (string place in places)
                    _ = LibC.Mount($"{Top}/{place}", $"{directory}/{place}", type: null, LibC.MountBind | LibC.MountRecursive, 0);
            }
        }

        public void Dispose() => _top.Dispose();

        private static bool IsEmptyDirectory(string path) => Directory.Exists(path) && !Directory.EnumerateFileSystemEntries(path).Any();

        private void AddPlacesTo(SysfsDirectory directory, string path)
        {
            foreach (string name in NamesIn($"{Top}/{path}"))
            {
                if (!directory.TryFind(name, out _))
                    directory.AddDirectory(name);
            }
        }

        private static IEnumerable<string> NamesIn(string path) => Directory.Exists(path)
            ? new DirectoryInfo(path).EnumerateDirectories().Where(d => d.LinkTarget is null).Select(d => d.Name)
            : [];
    }
}

using Apvirt.Sysfs.Fuse.Native;

namespace Apvirt.Sysfs.Fuse.Mounts;

/// <summary>Whether this machine lets a tree be mounted, and what to do if not.</summary>
public static class MountConditions
{
    private const string Device = "/dev/fuse";

    /// <summary>What identifies the mount namespace of the calling thread.</summary>
    internal static string? Namespace => new FileInfo("/proc/thread-self/ns/mnt").LinkTarget;

    /// <summary>What is missing, as a sentence that says what to do; null if nothing is.</summary>
    public static string? WhatIsMissing()
    {
        if (StatLayout.Here is null)
            return "mounting is not supported on this processor; x86-64, arm64 and s390x are";
        if (LibC.EffectiveUser() != 0)
            return "mounting needs root; run it with sudo. Everything in memory works without: 'apvirt up HOST.yaml'";
        if (!LibFuse.IsInstalled)
            return "mounting needs libfuse3; install it (Debian: apt install libfuse3-3 fuse3)";
        if (!File.Exists(Device))
            return $"mounting needs {Device}, which this machine has not; load the module (modprobe fuse), or give the container the device (--device {Device} --cap-add SYS_ADMIN)";
        return null;
    }

    /// <summary>Takes away a mount whose server died.</summary>
    /// <param name="directory">Where it was.</param>
    /// <returns>Why it could not be taken away; null if it was, or if there is none.</returns>
    public static string? ClearLeftover(string directory)
    {
        const int notConnected = 107;
        if (LibC.Access(directory, 0) == 0 || System.Runtime.InteropServices.Marshal.GetLastPInvokeError() != notConnected)
            return null;
        return LibC.Unmount(directory, LibC.UnmountDetach) == 0
            ? null
            : $"{directory} is a mount whose server has died and cannot be taken away; try 'umount -l {directory}'";
    }
}

using System.Diagnostics;
using Apvirt.Sysfs.Fuse.Mounts;

namespace Apvirt.Cli.Tests.Clients;

/// <summary>Runs the command as a process of its own, and real tools inside it.</summary>
internal static class Clients
{
    internal static readonly TimeSpan Soon = TimeSpan.FromSeconds(20);

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    internal static string Root => CommandRun.Root;

    internal static string Example(string name) => CommandRun.Example(name);

    /// <summary>The IBM Z tools that ./test has fetched; the test is skipped without.</summary>
    internal static string S390x(string tool)
    {
        string root = Path.Combine(Root, ".build", "s390x", "root");
        string path = Path.Combine(root, "sbin", tool);
        Assert.SkipUnless(File.Exists(path) && File.Exists("/usr/bin/qemu-s390x-static"), "needs qemu-user-static and scripts/s390x-tools.sh");
        return $"/usr/bin/qemu-s390x-static -L {root} {path}";
    }

    /// <summary>Runs a script of bash whose /sys is a host.</summary>
    internal static (int Status, string Out, string Error) Shell(string? host, string script)
    {
        SkipUnlessMountable();
        return Apvirt(host is null ? ["shell", "--", "bash", "-c", script] : ["shell", host, "--", "bash", "-c", script]);
    }

    internal static void SkipUnlessMountable() => Assert.SkipUnless(MountConditions.WhatIsMissing() is null, MountConditions.WhatIsMissing() ?? "");

    internal static Process Begin(IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string>? environment = null, string? directory = null)
    {
        ProcessStartInfo start = new(Environment.ProcessPath!, [Path.Combine(AppContext.BaseDirectory, "apvirt.dll"), .. arguments])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false,
            WorkingDirectory = directory ?? "",
        };
        // The test runner may be an executable of its own.
        if (!Path.GetFileName(start.FileName).StartsWith("dotnet", StringComparison.Ordinal))
            start.FileName = "dotnet";
        start.Environment.Remove("SYSFS_ROOT");
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>(StringComparer.Ordinal))
            start.Environment[name] = value;
        return Process.Start(start)!;
    }

    /// <summary>Brings a host up that other commands can ask already.</summary>
    internal static Process Up(IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string> environment, string? directory = null)
    {
        Process process = Begin(["up", .. arguments], environment, directory);
        process.StandardInput.Close();
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        // An earlier one that was killed may have left its socket behind.
        Assert.True(SpinWait.SpinUntil(() => process.HasExited || Apvirt(["guest", "list"], environment).Status == 0, Soon));
        Assert.False(process.HasExited);
        return process;
    }

    internal static (int Status, string Out, string Error) Apvirt(IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string>? environment = null)
    {
        using Process process = Begin(arguments, environment);
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(Patience))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"apvirt {string.Join(' ', arguments)} does not end");
        }
        return (process.ExitCode, output.GetAwaiter().GetResult(), error.GetAwaiter().GetResult());
    }
}

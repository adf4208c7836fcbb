using System.Diagnostics;
using System.Globalization;
using Apvirt.Host.Machines;
using Apvirt.Kernel.Runtime;
using Apvirt.Sysfs.Fuse.Mounts;
using Apvirt.Sysfs.Fuse.Serving;

namespace Apvirt.Bench;

/// <summary>
/// How often a program can open, read and close an attribute of a mounted host in a second, beside the same with a
/// minimal C program that serves one fixed file. Rounds alternate, because the machine's speed changes.
/// </summary>
internal static class MountReport
{
    private const int Rounds = 7;
    private const string Seconds = "1";

    internal static void Print(TextWriter output)
    {
        if (MountConditions.WhatIsMissing() is { } missing)
        {
            output.WriteLine($"open + read + close through a mount: not measured: {missing}");
            return;
        }
        string folder = Directory.CreateTempSubdirectory("apvirt-bench").FullName;
        try
        {
            if (!TryCompile("open_read_close", folder) || !TryCompile("fixed_file", folder, "-I/usr/include/fuse3", "-lfuse3"))
            {
                output.WriteLine("open + read + close through a mount: not measured: it needs gcc and the headers of libfuse3 (Debian: apt install gcc libfuse3-dev)");
                return;
            }
            Measure(output, folder);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>How long the lszcrypt of IBM Z takes, under qemu-user, to list a host with 512 queues.</summary>
    internal static void PrintTool(TextWriter output)
    {
        string? root = Run(Path.Combine(Checkout.Root, "scripts", "s390x-tools.sh"), [])?.Trim();
        if (root is null || !File.Exists("/usr/bin/qemu-s390x-static") || MountConditions.WhatIsMissing() is not null)
        {
            output.WriteLine("lszcrypt -V on 512 queues: not measured: it needs root, libfuse3, qemu-user-static and scripts/s390x-tools.sh");
            return;
        }
        List<double> seconds = [];
        for (int round = 0; round < Rounds; round++)
        {
            ProductionRuntime runtime = new(seed: 1);
            VirtualHost host = VirtualHost.BootAsync(runtime.CreateTask("boot"), MatrixMachine.Setup(16, 32)).AsTask().GetAwaiter().GetResult();
            if (SysfsMount.Prepare(host.Tree, new DirectEntry(runtime), out SysfsMount? mount) is { } problem)
                throw new InvalidOperationException(problem);
            using SysfsMount mounted = mount!;
            long begin = 0;
            ProcessStartInfo tool = new("/bin/sh", ["-c", $"test $(qemu-s390x-static -L {root} {root}/sbin/lszcrypt -V | wc -l) = {2 + 16 + 512}"]);
            tool.Environment["SYSFS_ROOT"] = "/sys";
            string? refusal = PrivateSys.Run(
                tool,
                directory =>
                {
                    string? reason = mounted.MountOn(directory);
                    begin = Stopwatch.GetTimestamp();
                    return reason;
                },
                host.Tree,
                out int status);
            if (refusal is not null || status != 0)
                throw new InvalidOperationException(refusal ?? $"lszcrypt did not list 512 queues, status {status}");
            seconds.Add(Stopwatch.GetElapsedTime(begin).TotalSeconds);
        }
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"lszcrypt -V of IBM Z under qemu-user on 512 queues: {Median(seconds):F2} s ({seconds.Min():F2} to {seconds.Max():F2})"));
    }

    private static void Measure(TextWriter output, string folder)
    {
        string mine = Directory.CreateDirectory(Path.Combine(folder, "mine")).FullName;
        string fixedFile = Directory.CreateDirectory(Path.Combine(folder, "fixed")).FullName;
        ProductionRuntime runtime = new(seed: 1);
        VirtualHost host = VirtualHost.BootAsync(runtime.CreateTask("boot"), MatrixMachine.Setup(6)).AsTask().GetAwaiter().GetResult();
        if (SysfsMount.Start(host.Tree, new DirectEntry(runtime), mine, out SysfsMount? mount) is { } problem)
            throw new InvalidOperationException(problem);
        using Process server = Process.Start(Path.Combine(folder, "fixed_file"), [fixedFile]);
        try
        {
            string file = Path.Combine(fixedFile, "file");
            SpinWait.SpinUntil(() => File.Exists(file), TimeSpan.FromSeconds(5));
            List<double> mineRates = [];
            List<double> fixedRates = [];
            for (int round = 0; round < Rounds; round++)
            {
                fixedRates.Add(Rate(folder, file));
                mineRates.Add(Rate(folder, Path.Combine(mine, "bus/ap/apmask")));
            }
            (double here, double there) = (Median(mineRates), Median(fixedRates));
            output.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"open + read + close of apmask through the mount: {here:F0} a second ({mineRates.Min():F0} to {mineRates.Max():F0}), {100 * here / there:F0} % of a minimal C program's {there:F0} ({fixedRates.Min():F0} to {fixedRates.Max():F0})"));
        }
        finally
        {
            mount!.Dispose();
            using Process unmount = Process.Start("umount", ["-l", fixedFile]);
            unmount.WaitForExit();
            server.WaitForExit();
        }
    }

    private static double Rate(string folder, string file) =>
        double.Parse(Run(Path.Combine(folder, "open_read_close"), [file, Seconds])!, CultureInfo.InvariantCulture);

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

    private static bool TryCompile(string name, string folder, params string[] options)
    {
        string source = Path.Combine(AppContext.BaseDirectory, "native", name + ".c");
        return File.Exists("/usr/bin/gcc") && Run("/usr/bin/gcc", ["-O2", "-o", Path.Combine(folder, name), source, .. options]) is not null;
    }

    private static string? Run(string program, string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, UseShellExecute = false })!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? output : null;
    }
}

using System.Diagnostics;

namespace Apvirt.Kernel.Tests.HouseRules;

/// <summary>The sources of this checkout. Paths count from its root and have forward slashes.</summary>
internal static class SourceTree
{
    /// <summary>All projects below src/, lowest first: each may reference only those before it.</summary>
    internal static readonly string[] Layers = ["Kernel", "Devices", "Ap", "Kvm", "Vfio", "VfioAp", "VfioPci", "Host", "Explore", "Designs", "Control", "Sysfs.Fuse", "Cli"];

    /// <summary>The layers that run under every scheduler, so that they take time, threads and chance from the runtime.</summary>
    internal static readonly string[] KernelLayers = ["Kernel", "Devices", "Ap", "Kvm", "Vfio", "VfioAp", "VfioPci"];

    /// <summary>The layers whose shared state has its four forms: those above Apvirt.Kernel, which makes the forms.</summary>
    internal static readonly string[] LayersOfForms = ["Devices", "Ap", "Kvm", "Vfio", "VfioAp", "VfioPci"];

    private static readonly string[] BuildOutput = ["bin", "obj"];

    internal static string Root { get; } = FindRoot();

    /// <summary>The C# files of some layers.</summary>
    internal static IEnumerable<(string Path, string Text)> Sources(IEnumerable<string> layers) =>
        layers.SelectMany(layer => SourcesBelow($"src/Apvirt.{layer}"));

    /// <summary>The C# files below a folder.</summary>
    internal static IEnumerable<(string Path, string Text)> SourcesBelow(string folder) =>
        from file in Directory.EnumerateFiles(Path.Combine(Root, folder), "*.cs", SearchOption.AllDirectories)
        let path = Path.GetRelativePath(Root, file).Replace('\\', '/')
        where !path.Split('/').Intersect(BuildOutput).Any()
        select (path, File.ReadAllText(file));

    /// <summary>The files that git tracks and that hold text; null where this is no git checkout.</summary>
    internal static IReadOnlyList<(string Path, string Text)>? TrackedTexts()
    {
        if (!Path.Exists(Path.Combine(Root, ".git")))
            return null;
        ProcessStartInfo list = new("git", ["-C", Root, "ls-files", "-z"]) { RedirectStandardOutput = true, UseShellExecute = false };
        using Process git = Process.Start(list)!;
        string[] paths = git.StandardOutput.ReadToEnd().Split('\0', StringSplitOptions.RemoveEmptyEntries);
        git.WaitForExit();
        Assert.Equal(0, git.ExitCode);
        return [.. from path in paths
                   let file = Path.Combine(Root, path)
                   where File.Exists(file)
                   let text = File.ReadAllText(file)
                   where !text.Contains('\0')
                   select (path, text)];
    }

    private static string FindRoot()
    {
        DirectoryInfo? at = new(AppContext.BaseDirectory);
        while (at is not null && !File.Exists(Path.Combine(at.FullName, "Apvirt.slnx")))
            at = at.Parent;
        return at?.FullName ?? throw new InvalidOperationException("The tests run outside a checkout: no Apvirt.slnx above them.");
    }
}

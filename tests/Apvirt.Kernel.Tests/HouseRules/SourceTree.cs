namespace Apvirt.Kernel.Tests.HouseRules;

/// <summary>The sources of this checkout.</summary>
internal static class SourceTree
{
    internal static readonly string[] Layers = ["Kernel", "Devices", "Ap", "Kvm", "Vfio", "VfioAp", "Host", "Cli"];
    internal static readonly string[] KernelLayers = ["Kernel", "Devices", "Ap", "Kvm", "Vfio", "VfioAp"];

    internal static string Root { get; } = FindRoot();

    /// <summary>The C# files of some layers, with their path from the root.</summary>
    internal static IEnumerable<(string Path, string Text)> Sources(IEnumerable<string> layers) =>
        layers.SelectMany(layer => Directory.EnumerateFiles(Path.Combine(Root, "src", $"Apvirt.{layer}"), "*.cs", SearchOption.AllDirectories))
            .Select(file => (Path: Path.GetRelativePath(Root, file).Replace('\\', '/'), File: file))
            .Where(f => !f.Path.Contains("/obj/", StringComparison.Ordinal) && !f.Path.Contains("/bin/", StringComparison.Ordinal))
            .Select(f => (f.Path, File.ReadAllText(f.File)));

    private static string FindRoot()
    {
        DirectoryInfo? at = new(AppContext.BaseDirectory);
        while (at is not null && !File.Exists(Path.Combine(at.FullName, "Apvirt.slnx")))
            at = at.Parent;
        return at!.FullName;
    }
}

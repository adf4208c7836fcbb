using Apvirt.Explore.Scenarios;

namespace Apvirt.Explore.Tests.Scenarios;

/// <summary>The scenarios below examples.</summary>
internal static class ScenarioFiles
{
    internal static string Root
    {
        get
        {
            DirectoryInfo? at = new(AppContext.BaseDirectory);
            while (at is not null && !File.Exists(Path.Combine(at.FullName, "Apvirt.slnx")))
                at = at.Parent;
            return at!.FullName;
        }
    }

    internal static string Folder(string name) => Path.Combine(Root, "examples", name);

    internal static Scenario Read(string folder, string name)
    {
        string file = Path.Combine(Folder(folder), name);
        Assert.Null(Scenario.Read(file, File.ReadAllText(file), out Scenario? scenario));
        return scenario!;
    }
}

using System.CommandLine;
using Apvirt.Ap.Profiles;
using Apvirt.Host.Checks;
using Apvirt.Kernel.Checking;

namespace Apvirt.Cli;

/// <summary>The options that several commands share: whose quirks apply, and whether everything is checked.</summary>
internal static class CheckOptions
{
    internal static Option<bool> Check() => new("--check")
    {
        Description = "Check lock orders, guards, lifetimes and invariants while it runs; exit status 1 if one is broken that no finding predicts.",
    };

    internal static Option<string> ProfileName()
    {
        Option<string> option = new("--profile") { Description = "Whose quirks apply; 'apvirt profiles' lists them.", DefaultValueFactory = _ => Profile.Linux612.Name };
        option.AcceptOnlyFromAmong([.. Profile.All.Select(profile => profile.Name)]);
        return option;
    }

    internal static KernelChecks? Create(bool isOn) => isOn ? new KernelChecks(LockOrder.Declared) : null;
}

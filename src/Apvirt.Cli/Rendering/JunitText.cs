using System.Globalization;
using System.Text;
using System.Xml;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;

namespace Apvirt.Cli.Rendering;

/// <summary>What exploring found as JUnit XML: a test for the search, and one for each thing that went wrong.</summary>
internal static class JunitText
{
    internal static string Text(string name, Scenario scenario, ScenarioResult result, double seconds)
    {
        string suite = $"{name} under {scenario.Profile.Name}";
        StringBuilder text = new();
        using (XmlWriter xml = XmlWriter.Create(text, new XmlWriterSettings { Indent = true, OmitXmlDeclaration = true }))
        {
            xml.WriteStartElement("testsuite");
            xml.WriteAttributeString("name", suite);
            xml.WriteAttributeString("tests", Number(1 + result.Violations.Count));
            xml.WriteAttributeString("failures", Number(result.Unpredicted.Count()));
            xml.WriteAttributeString("skipped", Number((result.Result.Verdict == Verdict.BoundReached ? 1 : 0) + result.Violations.Count - result.Unpredicted.Count()));
            xml.WriteAttributeString("time", seconds.ToString("F3", CultureInfo.InvariantCulture));
            Case(xml, suite, "every order", result.Result.Verdict == Verdict.BoundReached ? "skipped" : null, ExploreText.Verdict(result), "");
            foreach (ScenarioViolation violation in result.Violations)
            {
                Case(
                    xml, suite, $"{violation.Rule}: {violation.Summary}", violation.Finding is null ? "failure" : "skipped",
                    violation.Finding is null ? violation.Summary : $"predicted by {violation.Finding}", string.Join('\n', violation.Schedule.Steps.Concat(violation.Schedule.Waits)));
            }
            xml.WriteEndElement();
        }
        return text.Append('\n').ToString();
    }

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);

    private static void Case(XmlWriter xml, string suite, string name, string? outcome, string message, string details)
    {
        xml.WriteStartElement("testcase");
        xml.WriteAttributeString("classname", suite);
        xml.WriteAttributeString("name", name);
        xml.WriteStartElement(outcome ?? "system-out");
        if (outcome is null)
        {
            xml.WriteString(message);
        }
        else
        {
            xml.WriteAttributeString("message", message);
            xml.WriteString(details);
        }
        xml.WriteEndElement();
        xml.WriteEndElement();
    }
}
